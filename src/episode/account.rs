use std::collections::BTreeMap;
use std::fmt;

/// Why a frame was dropped, as counted and shown on /diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// No episode was running.
    NoEpisode,
    /// The same stamp came twice.
    Duplicate,
    /// The stamp lies before one already seen.
    OutOfOrder,
    /// The stamp is not set: it lies before 2000, among stamps of a real clock.
    StampUnset,
    /// The stamp lies far from the ones around it, by more than the clock of the receiver can explain.
    StampStep,
    /// The image could not be decoded or its encoding is not supported.
    Undecodable,
    /// The image's size differs from the episode's first frame.
    SizeChanged,
    /// A newer message arrived before this one was looked at.
    Overrun,
    /// The engine's queue was full.
    QueueFull,
    /// The episode ended before the frame was scored.
    EpisodeEnded,
    /// The model failed on it.
    InferenceFailed,
    /// The node was deactivated before the frame was looked at.
    Deactivated,
    /// The program ended before the frame was scored.
    Shutdown,
}

impl DropReason {
    /// The name used on /diagnostics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEpisode => "no_episode",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::StampUnset => "stamp_unset",
            Self::StampStep => "stamp_step",
            Self::Undecodable => "undecodable",
            Self::SizeChanged => "size_changed",
            Self::Overrun => "overrun",
            Self::QueueFull => "queue_full",
            Self::EpisodeEnded => "episode_ended",
            Self::InferenceFailed => "inference_failed",
            Self::Deactivated => "deactivated",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Where every offered frame went: `offered = scored + coalesced + skipped + dropped + pending`, exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameAccount {
    pub offered: u64,
    /// The newest frame of a prefix that was scored.
    pub scored: u64,
    /// Seen by the model, but a newer frame was waiting, so only that one's prefix was scored.
    pub coalesced: u64,
    /// Between two samples.
    pub skipped: u64,
    dropped: BTreeMap<DropReason, u64>,
}

impl FrameAccount {
    pub fn drop_frames(&mut self, reason: DropReason, frames: u64) {
        if frames > 0 {
            *self.dropped.entry(reason).or_default() += frames;
        }
    }

    /// This account and another one's, column by column.
    pub fn plus(mut self, other: &Self) -> Self {
        self.offered += other.offered;
        self.scored += other.scored;
        self.coalesced += other.coalesced;
        self.skipped += other.skipped;
        for (reason, frames) in other.dropped_by_reason() {
            self.drop_frames(reason, frames);
        }
        self
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// The dropped frames by reason, only reasons that occurred.
    pub fn dropped_by_reason(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        self.dropped.iter().map(|(&reason, &frames)| (reason, frames))
    }

    /// Frames on their way to the engine; `None` when the account does not add up, which would be a bug.
    pub fn pending(&self) -> Option<u64> {
        self.offered.checked_sub(self.scored + self.coalesced + self.skipped + self.dropped())
    }
}

impl fmt::Display for FrameAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} offered = {} scored + {} coalesced + {} skipped + {} dropped",
            self.offered,
            self.scored,
            self.coalesced,
            self.skipped,
            self.dropped()
        )?;
        match self.pending() {
            Some(0) => {}
            Some(pending) => write!(f, " + {pending} pending")?,
            None => write!(f, " (does not add up: please report this)")?,
        }
        let reasons: Vec<String> = self
            .dropped_by_reason()
            .map(|(reason, frames)| format!("{} {frames}", reason.as_str()))
            .collect();
        if reasons.is_empty() { Ok(()) } else { write!(f, " ({})", reasons.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_is_what_the_other_columns_leave() {
        let mut account =
            FrameAccount { offered: 10, scored: 2, coalesced: 1, skipped: 3, ..Default::default() };
        account.drop_frames(DropReason::NoEpisode, 1);
        account.drop_frames(DropReason::Shutdown, 0);
        assert_eq!(account.pending(), Some(3));
        assert_eq!(
            account.to_string(),
            "10 offered = 2 scored + 1 coalesced + 3 skipped + 1 dropped + 3 pending (no_episode 1)"
        );
        let both = account.clone().plus(&account);
        assert_eq!(
            both.to_string(),
            "20 offered = 4 scored + 2 coalesced + 6 skipped + 2 dropped + 6 pending (no_episode 2)"
        );
        account.scored = 100;
        assert_eq!(account.pending(), None);
    }
}
