//! From the end of an episode to the next one: the robot's reset and what comes after it.

use super::*;

impl Session {
    /// The robot's reset was answered, or was not.
    pub fn reset_answered(&mut self, ticket: ResetTicket, answer: Result<(), ResetFailed>) {
        if self.phase != Phase::Resetting || ticket != self.ticket() {
            return;
        }
        match answer {
            Ok(()) => {
                self.phase = Phase::Settling;
                self.effects.push(Effect::Settle(ticket));
            }
            Err(ResetFailed(reason)) => self.phase = Phase::ResetFailed(reason),
        }
    }

    /// The scene has come to rest after a reset.
    pub fn settled(&mut self, ticket: ResetTicket) {
        if self.phase == Phase::Settling && ticket == self.ticket() {
            self.begin_if_wanted();
        }
    }

    /// The episode in question is the last one.
    fn ticket(&self) -> ResetTicket {
        ResetTicket(self.episodes_started)
    }

    pub(super) fn succeeded(&mut self) {
        self.end(EndReason::Success);
        if self.resets {
            self.reset();
        } else {
            self.phase = Phase::Idle;
        }
    }

    /// After an episode that did not succeed.
    pub(super) fn go_on(&mut self, resets: bool) {
        if self.resets && resets {
            self.reset();
        } else {
            self.begin_if_wanted();
        }
    }

    fn reset(&mut self) {
        self.phase = Phase::Resetting;
        self.effects.push(Effect::CallReset(self.ticket()));
    }
}
