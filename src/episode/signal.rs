//! The words of a recorder, which begin and end episodes.

/// What an episode signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Begins an episode, or ends the running one.
    Record,
    /// The running episode ends: its recording is kept, thrown away, or was the last one.
    End,
}

impl Signal {
    /// The words of the recorders in use: "record" is one key for both start and stop.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim() {
            "record" => Some(Self::Record),
            "save" | "delete" | "exit" => Some(Self::End),
            _ => None,
        }
    }
}

/// What a recorder's words mean, one after the other: "record" comes at the start and at the end, so this follows
/// whether it is recording. An episode that ends by itself in between does not turn the next "record" into a start.
#[derive(Debug, Default)]
pub struct Recorder {
    recording: bool,
}

impl Recorder {
    /// Takes its next signal; whether it is recording after that.
    pub fn follow(&mut self, signal: Signal) -> bool {
        self.recording = signal == Signal::Record && !self.recording;
        self.recording
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_begins_and_ends() {
        let mut recorder = Recorder::default();
        let words =
            [Signal::Record, Signal::Record, Signal::Record, Signal::End, Signal::End, Signal::Record];
        assert_eq!(words.map(|word| recorder.follow(word)), [true, false, true, false, false, true]);
    }

    #[test]
    fn the_words_of_a_recorder() {
        assert_eq!(Signal::parse("record"), Some(Signal::Record));
        assert_eq!(Signal::parse(" save\n"), Some(Signal::End));
        assert_eq!(Signal::parse("delete"), Some(Signal::End));
        assert_eq!(Signal::parse("exit"), Some(Signal::End));
        assert_eq!(Signal::parse("Record"), None);
    }
}
