//! The five services and the topic of a managed node, which r2r does not have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use r2r::lifecycle_msgs::msg::{self, TransitionDescription, TransitionEvent};
use r2r::lifecycle_msgs::srv::{ChangeState, GetAvailableStates, GetAvailableTransitions, GetState};
use r2r::{Node, QosProfile, ServiceRequest, WrappedServiceTypeSupport};

use super::super::driver::{Input, Inputs};
use super::lifecycle::{Lifecycle, State, TRANSITIONS, Transition};

/// Someone asks for a transition.
pub type ChangeRequest = ServiceRequest<ChangeState::Service>;

/// The state, shared by the services that only read it and the driver.
pub type Shared = Arc<Mutex<Lifecycle>>;

/// Locks the state; nothing panics while it holds it.
pub fn lock(lifecycle: &Shared) -> MutexGuard<'_, Lifecycle> {
    lifecycle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Offers the services; the future answers them, and passes on the wishes, for as long as the node lives.
pub fn offer(
    node: &mut Node,
    lifecycle: Shared,
    inputs: Inputs,
) -> r2r::Result<impl Future<Output = ()> + Send + use<>> {
    let qos = QosProfile::services_default;
    let mut change = node.create_service::<ChangeState::Service>("~/change_state", qos())?;
    let state = node.create_service::<GetState::Service>("~/get_state", qos())?;
    let states = node.create_service::<GetAvailableStates::Service>("~/get_available_states", qos())?;
    let available =
        node.create_service::<GetAvailableTransitions::Service>("~/get_available_transitions", qos())?;
    let graph = node.create_service::<GetAvailableTransitions::Service>("~/get_transition_graph", qos())?;
    let for_available = lifecycle.clone();
    Ok(async move {
        futures::join!(
            async {
                while let Some(request) = change.next().await {
                    inputs.send(Input::ChangeState(request));
                }
            },
            serve(state, || GetState::Response { current_state: state_msg(lock(&lifecycle).state()) }),
            serve(states, || GetAvailableStates::Response {
                available_states: State::ALL.into_iter().map(state_msg).collect(),
            }),
            serve(available, || GetAvailableTransitions::Response {
                available_transitions: lock(&for_available).available().map(description).collect(),
            }),
            serve(graph, || GetAvailableTransitions::Response {
                available_transitions: TRANSITIONS.iter().map(description).collect(),
            }),
        );
    })
}

async fn serve<T>(
    mut requests: impl Stream<Item = ServiceRequest<T>> + Unpin,
    answer: impl Fn() -> T::Response,
) where
    T: WrappedServiceTypeSupport + 'static,
{
    while let Some(request) = requests.next().await {
        if let Err(error) = request.respond(answer()) {
            log::error!("cannot answer a lifecycle request: {error}");
        }
    }
}

/// Answers who asked for a transition.
pub fn respond(request: ChangeRequest, success: bool) {
    if let Err(error) = request.respond(ChangeState::Response { success }) {
        log::error!("cannot answer a lifecycle request: {error}");
    }
}

fn state_msg(state: State) -> msg::State {
    msg::State { id: state.id(), label: state.label().to_owned() }
}

fn transition_msg(transition: &Transition) -> msg::Transition {
    msg::Transition { id: transition.id, label: transition.label.to_owned() }
}

fn description(transition: &Transition) -> TransitionDescription {
    TransitionDescription {
        transition: transition_msg(transition),
        start_state: state_msg(transition.start),
        goal_state: state_msg(transition.goal),
    }
}

/// A transition as ~/transition_event tells of it; `now_ns` is ROS time.
pub fn event(transition: &Transition, now_ns: i64) -> TransitionEvent {
    TransitionEvent {
        timestamp: u64::try_from(now_ns).unwrap_or_default(),
        transition: transition_msg(transition),
        start_state: state_msg(transition.start),
        goal_state: state_msg(transition.goal),
    }
}
