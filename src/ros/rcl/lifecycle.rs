//! The managed node's state machine: states, transitions and their numbers as in lifecycle_msgs and rcl_lifecycle
//! (design.ros2.org, "Managed nodes"). Without ROS, so that it can be tested by itself.

/// Where the node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No model is loaded.
    Unconfigured,
    /// The model is loaded; no camera is listened to.
    Inactive,
    /// Frames come in and are scored.
    Active,
    /// The end; only the process is left.
    Finalized,
    Configuring,
    CleaningUp,
    ShuttingDown,
    Activating,
    Deactivating,
    /// Never entered: here every failed transition goes back, or the process ends. Part of the published graph.
    ErrorProcessing,
}

use State::{
    Activating, Active, CleaningUp, Configuring, Deactivating, ErrorProcessing, Finalized, Inactive,
    ShuttingDown, Unconfigured,
};

impl State {
    pub const ALL: [Self; 10] = [
        Unconfigured,
        Inactive,
        Active,
        Finalized,
        Configuring,
        CleaningUp,
        ShuttingDown,
        Activating,
        Deactivating,
        ErrorProcessing,
    ];

    pub fn id(self) -> u8 {
        match self {
            Unconfigured => 1,
            Inactive => 2,
            Active => 3,
            Finalized => 4,
            Configuring => 10,
            CleaningUp => 11,
            ShuttingDown => 12,
            Activating => 13,
            Deactivating => 14,
            ErrorProcessing => 15,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Unconfigured => "unconfigured",
            Inactive => "inactive",
            Active => "active",
            Finalized => "finalized",
            Configuring => "configuring",
            CleaningUp => "cleaningup",
            ShuttingDown => "shuttingdown",
            Activating => "activating",
            Deactivating => "deactivating",
            ErrorProcessing => "errorprocessing",
        }
    }
}

/// From one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub id: u8,
    pub label: &'static str,
    pub start: State,
    pub goal: State,
}

const fn transition(id: u8, label: &'static str, start: State, goal: State) -> Transition {
    Transition { id, label, start, goal }
}

const SUCCESS: &str = "transition_success";
const FAILURE: &str = "transition_failure";
const ERROR: &str = "transition_error";

/// Every transition: first those that can be asked for, then how they end.
pub const TRANSITIONS: [Transition; 25] = [
    transition(1, "configure", Unconfigured, Configuring),
    transition(2, "cleanup", Inactive, CleaningUp),
    transition(3, "activate", Inactive, Activating),
    transition(4, "deactivate", Active, Deactivating),
    transition(5, "shutdown", Unconfigured, ShuttingDown),
    transition(6, "shutdown", Inactive, ShuttingDown),
    transition(7, "shutdown", Active, ShuttingDown),
    transition(10, SUCCESS, Configuring, Inactive),
    transition(11, FAILURE, Configuring, Unconfigured),
    transition(12, ERROR, Configuring, ErrorProcessing),
    transition(20, SUCCESS, CleaningUp, Unconfigured),
    transition(21, FAILURE, CleaningUp, Inactive),
    transition(22, ERROR, CleaningUp, ErrorProcessing),
    transition(30, SUCCESS, Activating, Active),
    transition(31, FAILURE, Activating, Inactive),
    transition(32, ERROR, Activating, ErrorProcessing),
    transition(40, SUCCESS, Deactivating, Inactive),
    transition(41, FAILURE, Deactivating, Active),
    transition(42, ERROR, Deactivating, ErrorProcessing),
    transition(50, SUCCESS, ShuttingDown, Finalized),
    transition(51, FAILURE, ShuttingDown, Finalized),
    transition(52, ERROR, ShuttingDown, ErrorProcessing),
    transition(60, SUCCESS, ErrorProcessing, Unconfigured),
    transition(61, FAILURE, ErrorProcessing, Finalized),
    transition(62, ERROR, ErrorProcessing, Finalized),
];

/// Transitions that can be asked for have ids below this.
const FIRST_OUTCOME: u8 = 10;

/// How a transition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
}

/// Why a transition was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    #[error("the transition \"{wanted}\" is not possible while the node is {}", .state.label())]
    NotNow { wanted: String, state: State },
}

/// The state, which only transitions change.
#[derive(Debug)]
pub struct Lifecycle {
    state: State,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self { state: Unconfigured }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// The transitions that begin here.
    pub fn available(&self) -> impl Iterator<Item = &'static Transition> + use<> {
        let state = self.state;
        TRANSITIONS.iter().filter(move |transition| transition.start == state)
    }

    /// Begins what is asked for, by label where there is one, else by id, as rcl_lifecycle does.
    pub fn begin(&mut self, id: u8, label: &str) -> Result<Transition, LifecycleError> {
        let found = self.available().find(|transition| {
            let named = if label.is_empty() { transition.id == id } else { transition.label == label };
            named && transition.id < FIRST_OUTCOME
        });
        let Some(transition) = found else {
            let wanted = if label.is_empty() { name_of(id) } else { label.to_owned() };
            return Err(LifecycleError::NotNow { wanted, state: self.state });
        };
        self.state = transition.goal;
        Ok(*transition)
    }

    /// Ends the transition under way; `None` when there is none.
    pub fn finish(&mut self, outcome: Outcome) -> Option<Transition> {
        let label = match outcome {
            Outcome::Success => SUCCESS,
            Outcome::Failure => FAILURE,
        };
        let transition = self.available().find(|transition| transition.label == label)?;
        self.state = transition.goal;
        Some(*transition)
    }
}

fn name_of(id: u8) -> String {
    let known = TRANSITIONS.iter().find(|transition| transition.id == id);
    known.map_or_else(|| format!("number {id}"), |transition| transition.label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use r2r::lifecycle_msgs::msg;

    #[test]
    fn the_numbers_are_those_of_lifecycle_msgs() {
        let states = [
            (Unconfigured, msg::State::PRIMARY_STATE_UNCONFIGURED as u8),
            (Inactive, msg::State::PRIMARY_STATE_INACTIVE as u8),
            (Active, msg::State::PRIMARY_STATE_ACTIVE as u8),
            (Finalized, msg::State::PRIMARY_STATE_FINALIZED as u8),
            (Configuring, msg::State::TRANSITION_STATE_CONFIGURING as u8),
            (CleaningUp, msg::State::TRANSITION_STATE_CLEANINGUP as u8),
            (ShuttingDown, msg::State::TRANSITION_STATE_SHUTTINGDOWN as u8),
            (Activating, msg::State::TRANSITION_STATE_ACTIVATING as u8),
            (Deactivating, msg::State::TRANSITION_STATE_DEACTIVATING as u8),
            (ErrorProcessing, msg::State::TRANSITION_STATE_ERRORPROCESSING as u8),
        ];
        for (state, number) in states {
            assert_eq!(state.id(), number, "{state:?}");
        }
        let asked = [
            ("configure", msg::Transition::TRANSITION_CONFIGURE as u8),
            ("cleanup", msg::Transition::TRANSITION_CLEANUP as u8),
            ("activate", msg::Transition::TRANSITION_ACTIVATE as u8),
            ("deactivate", msg::Transition::TRANSITION_DEACTIVATE as u8),
            ("shutdown", msg::Transition::TRANSITION_UNCONFIGURED_SHUTDOWN as u8),
        ];
        for (label, number) in asked {
            assert_eq!(TRANSITIONS.iter().find(|t| t.label == label).unwrap().id, number);
        }
    }

    #[test]
    fn up_and_down_again() {
        let mut lifecycle = Lifecycle::new();
        for (asked, passing, reached) in [
            ("configure", Configuring, Inactive),
            ("activate", Activating, Active),
            ("deactivate", Deactivating, Inactive),
            ("cleanup", CleaningUp, Unconfigured),
            ("shutdown", ShuttingDown, Finalized),
        ] {
            lifecycle.begin(0, asked).unwrap();
            assert_eq!(lifecycle.state(), passing);
            assert!(lifecycle.begin(0, asked).is_err(), "one at a time");
            assert_eq!(lifecycle.finish(Outcome::Success).unwrap().goal, reached);
            assert_eq!(lifecycle.finish(Outcome::Success), None, "it has ended");
        }
        assert_eq!(lifecycle.available().count(), 0);
    }

    #[test]
    fn a_failure_goes_back() {
        let mut lifecycle = Lifecycle::new();
        lifecycle.begin(1, "").unwrap();
        assert_eq!(lifecycle.finish(Outcome::Failure).unwrap().goal, Unconfigured);
        let refusal = lifecycle.begin(3, "").unwrap_err().to_string();
        assert_eq!(refusal, "the transition \"activate\" is not possible while the node is unconfigured");
        assert!(lifecycle.begin(10, "").is_err(), "how a transition ends cannot be asked for");
        assert!(lifecycle.begin(99, "").unwrap_err().to_string().contains("number 99"));
    }
}
