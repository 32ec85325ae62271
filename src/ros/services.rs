use futures::{Stream, StreamExt};
use r2r::std_srvs::srv::Trigger;
use r2r::topreward::srv::SetInstruction;
use r2r::{Node, QosProfile, ServiceRequest};

use super::driver::{Input, Inputs};
use crate::live::session::{Refusal, Session};

/// A request to one of the node's services.
pub enum Call {
    StartEpisode(ServiceRequest<Trigger::Service>),
    EndEpisode(ServiceRequest<Trigger::Service>),
    ResetEpisode(ServiceRequest<Trigger::Service>),
    ScoreNow(ServiceRequest<Trigger::Service>),
    SetInstruction(ServiceRequest<SetInstruction::Service>),
}

/// Offers the services; the future passes their requests on for as long as the node lives.
pub fn offer(node: &mut Node, inputs: Inputs) -> r2r::Result<impl Future<Output = ()> + Send + use<>> {
    let qos = QosProfile::services_default;
    let start = node.create_service::<Trigger::Service>("~/start_episode", qos())?;
    let end = node.create_service::<Trigger::Service>("~/end_episode", qos())?;
    let reset = node.create_service::<Trigger::Service>("~/reset_episode", qos())?;
    let score = node.create_service::<Trigger::Service>("~/score_now", qos())?;
    let instruction = node.create_service::<SetInstruction::Service>("~/set_instruction", qos())?;
    Ok(async move {
        futures::join!(
            pass_on(start, Call::StartEpisode, &inputs),
            pass_on(end, Call::EndEpisode, &inputs),
            pass_on(reset, Call::ResetEpisode, &inputs),
            pass_on(score, Call::ScoreNow, &inputs),
            pass_on(instruction, Call::SetInstruction, &inputs),
        );
    })
}

async fn pass_on<R>(mut requests: impl Stream<Item = R> + Unpin, call: fn(R) -> Call, inputs: &Inputs) {
    while let Some(request) = requests.next().await {
        inputs.send(Input::Call(call(request)));
    }
}

/// Does what is asked and answers.
pub fn answer(session: &mut Session, call: Call) {
    let sent = match call {
        Call::StartEpisode(request) => {
            let done = session.start_episode().map(|id| format!("episode {id} has begun"));
            request.respond(trigger_response(done))
        }
        Call::EndEpisode(request) => {
            let done = session.end_episode().map(|id| format!("episode {id} has ended"));
            request.respond(trigger_response(done))
        }
        Call::ResetEpisode(request) => {
            let done = session.reset_episode().map(|id| format!("episode {id} has begun"));
            request.respond(trigger_response(done))
        }
        Call::ScoreNow(request) => {
            let done = session.score_now().map(|id| format!("episode {id} is being scored"));
            request.respond(trigger_response(done))
        }
        Call::SetInstruction(request) => {
            let done = session.set_instruction(&request.message.instruction);
            let (success, message) = parts(done.map(|()| session.instruction().to_string()));
            request.respond(SetInstruction::Response { success, message })
        }
    };
    if let Err(error) = sent {
        log::error!("cannot answer a service request: {error}");
    }
}

fn trigger_response(done: Result<String, Refusal>) -> Trigger::Response {
    let (success, message) = parts(done);
    Trigger::Response { success, message }
}

fn parts(done: Result<String, Refusal>) -> (bool, String) {
    match done {
        Ok(message) => (true, message),
        Err(refusal) => (false, refusal.to_string()),
    }
}
