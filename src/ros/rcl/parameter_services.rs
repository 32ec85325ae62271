//! The six parameter services and /parameter_events, as every ROS node has them. r2r's own know neither ranges nor
//! read-only parameters, and publish no events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use r2r::rcl_interfaces::msg::{
    self, FloatingPointRange, IntegerRange, ListParametersResult, ParameterDescriptor, ParameterType,
    SetParametersResult,
};
use r2r::rcl_interfaces::srv::{
    DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters,
    SetParametersAtomically,
};
use r2r::{Node, ParameterValue, QosProfile, ServiceRequest, WrappedServiceTypeSupport};
use serde_yaml::Value;

use super::super::driver::{Input, Inputs};
use super::super::params::{Parameters, USE_SIM_TIME};
use crate::config::{Bounds, Change, declaration};

/// The parameters, shared by the services and the driver.
pub type Shared = Arc<Mutex<Parameters>>;

/// Locks the parameters; nothing panics while it holds them.
pub fn lock(parameters: &Shared) -> MutexGuard<'_, Parameters> {
    parameters.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Offers the services; the future answers them for as long as the node lives.
pub fn offer(
    node: &mut Node,
    parameters: Shared,
    inputs: Inputs,
) -> r2r::Result<impl Future<Output = ()> + Send + use<>> {
    let qos = QosProfile::services_default;
    let get = node.create_service::<GetParameters::Service>("~/get_parameters", qos())?;
    let types = node.create_service::<GetParameterTypes::Service>("~/get_parameter_types", qos())?;
    let list = node.create_service::<ListParameters::Service>("~/list_parameters", qos())?;
    let describe = node.create_service::<DescribeParameters::Service>("~/describe_parameters", qos())?;
    let set = node.create_service::<SetParameters::Service>("~/set_parameters", qos())?;
    let together =
        node.create_service::<SetParametersAtomically::Service>("~/set_parameters_atomically", qos())?;
    let shared = || parameters.clone();
    let (for_get, for_types, for_list, for_describe) = (shared(), shared(), shared(), shared());
    let (for_set, for_together) = ((shared(), inputs.clone()), (shared(), inputs));
    Ok(async move {
        futures::join!(
            serve(get, move |request| GetParameters::Response {
                values: request.names.iter().map(|name| value_msg(lock(&for_get).get(name))).collect(),
            }),
            serve(types, move |request| GetParameterTypes::Response {
                types: request.names.iter().map(|name| type_of(lock(&for_types).get(name))).collect(),
            }),
            serve(list, move |request| ListParameters::Response {
                result: listed(lock(&for_list).names(), &request.prefixes, request.depth),
            }),
            serve(describe, move |request| DescribeParameters::Response {
                descriptors: request.names.iter().map(|name| described(&lock(&for_describe), name)).collect(),
            }),
            serve(set, move |request| SetParameters::Response {
                results: request
                    .parameters
                    .iter()
                    .map(|one| set_together(&for_set.0, &for_set.1, std::slice::from_ref(one)))
                    .collect(),
            }),
            serve(together, move |request| SetParametersAtomically::Response {
                result: set_together(&for_together.0, &for_together.1, &request.parameters),
            }),
        );
    })
}

async fn serve<T>(
    mut requests: impl Stream<Item = ServiceRequest<T>> + Unpin,
    answer: impl Fn(&T::Request) -> T::Response,
) where
    T: WrappedServiceTypeSupport + 'static,
{
    while let Some(request) = requests.next().await {
        let response = answer(&request.message);
        if let Err(error) = request.respond(response) {
            log::error!("cannot answer a parameter request: {error}");
        }
    }
}

fn set_together(parameters: &Shared, inputs: &Inputs, changes: &[msg::Parameter]) -> SetParametersResult {
    let wanted: Vec<_> = changes.iter().map(|one| (one.name.clone(), value_from_msg(&one.value))).collect();
    // The lock is held until the driver is told, so that it hears of changes in the order in which they were made.
    let mut parameters = lock(parameters);
    match parameters.set(&wanted) {
        Ok(config) => {
            let names = wanted.into_iter().map(|(name, _)| name).collect();
            inputs.send(Input::Configured(Box::new(config), names));
            SetParametersResult { successful: true, reason: String::new() }
        }
        Err(reason) => SetParametersResult { successful: false, reason },
    }
}

/// Parameters as messages, for /parameter_events.
pub fn parameter_msgs<'a>(
    parameters: &Parameters,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<msg::Parameter> {
    let message =
        |name: &str| msg::Parameter { name: name.to_owned(), value: value_msg(parameters.get(name)) };
    names.into_iter().map(message).collect()
}

/// The numbers of `rcl_interfaces/ParameterType`, which the bindings give a type of its own each.
mod kind {
    use super::ParameterType;

    pub const NOT_SET: u8 = ParameterType::PARAMETER_NOT_SET as u8;
    pub const BOOL: u8 = ParameterType::PARAMETER_BOOL as u8;
    pub const INTEGER: u8 = ParameterType::PARAMETER_INTEGER as u8;
    pub const DOUBLE: u8 = ParameterType::PARAMETER_DOUBLE as u8;
    pub const STRING: u8 = ParameterType::PARAMETER_STRING as u8;
    pub const STRING_ARRAY: u8 = ParameterType::PARAMETER_STRING_ARRAY as u8;
}

fn type_of(value: Option<&Value>) -> u8 {
    match value {
        Some(Value::Bool(_)) => kind::BOOL,
        Some(Value::Number(number)) if number.is_f64() => kind::DOUBLE,
        Some(Value::Number(_)) => kind::INTEGER,
        Some(Value::String(_)) => kind::STRING,
        Some(Value::Sequence(_)) => kind::STRING_ARRAY,
        _ => kind::NOT_SET,
    }
}

fn value_msg(value: Option<&Value>) -> msg::ParameterValue {
    let mut message = msg::ParameterValue { type_: type_of(value), ..Default::default() };
    match value {
        Some(Value::Bool(value)) => message.bool_value = *value,
        Some(Value::String(value)) => message.string_value.clone_from(value),
        Some(Value::Sequence(values)) => {
            let texts = values.iter().filter_map(Value::as_str).map(str::to_owned);
            message.string_array_value = texts.collect();
        }
        Some(Value::Number(number)) if number.is_f64() => {
            message.double_value = number.as_f64().unwrap_or_default();
        }
        Some(Value::Number(number)) => message.integer_value = number.as_i64().unwrap_or(i64::MAX),
        _ => {}
    }
    message
}

fn value_from_msg(message: &msg::ParameterValue) -> ParameterValue {
    match message.type_ {
        kind::BOOL => ParameterValue::Bool(message.bool_value),
        kind::INTEGER => ParameterValue::Integer(message.integer_value),
        kind::DOUBLE => ParameterValue::Double(message.double_value),
        kind::STRING => ParameterValue::String(message.string_value.clone()),
        kind::STRING_ARRAY => ParameterValue::StringArray(message.string_array_value.clone()),
        // Other arrays, and what is not set: no parameter here is one, whatever it holds.
        _ => ParameterValue::NotSet,
    }
}

fn described(parameters: &Parameters, name: &str) -> ParameterDescriptor {
    let mut descriptor = ParameterDescriptor {
        name: name.to_owned(),
        type_: type_of(parameters.get(name)),
        ..Default::default()
    };
    if name == USE_SIM_TIME {
        descriptor.description = "Take the time from /clock.".to_owned();
        descriptor.read_only = true;
    } else if let Some(declared) = declaration(name) {
        descriptor.description = declared.description.to_owned();
        descriptor.additional_constraints = declared.bounds.words();
        descriptor.read_only = declared.change == Change::StartUp;
        match declared.bounds {
            Bounds::Number { from, to, .. } => {
                descriptor.floating_point_range =
                    vec![FloatingPointRange { from_value: from, to_value: to, step: 0.0 }];
            }
            Bounds::Whole { from, to } => {
                let [from_value, to_value] = [from, to].map(|end| i64::try_from(end).unwrap_or(i64::MAX));
                descriptor.integer_range = vec![IntegerRange { from_value, to_value, step: 1 }];
            }
            Bounds::Free | Bounds::Choice(_) => {}
        }
    }
    descriptor
}

/// What `list_parameters` answers: names below one of the prefixes (all without any), not more than `depth` levels
/// deep (0: however deep), and the groups that they stand in.
fn listed<'a>(names: impl Iterator<Item = &'a str>, prefixes: &[String], depth: u64) -> ListParametersResult {
    let shallow = |rest: &str| depth == 0 || (rest.matches('.').count() as u64) < depth;
    let wanted = |name: &str| {
        if prefixes.is_empty() {
            return shallow(name);
        }
        prefixes.iter().any(|prefix| {
            name == prefix
                || name
                    .strip_prefix(prefix.as_str())
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(shallow)
        })
    };
    let mut result = ListParametersResult::default();
    for name in names.filter(|name| wanted(name)) {
        result.names.push(name.to_owned());
        if let Some((group, _)) = name.rsplit_once('.')
            && !result.prefixes.iter().any(|known| known == group)
        {
            result.prefixes.push(group.to_owned());
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_listed_by_prefix_and_depth() {
        let names = ["a", "b.c", "b.d.e", "bb.f"];
        let listed = |prefixes: &[&str], depth| {
            let prefixes: Vec<String> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
            let result = listed(names.into_iter(), &prefixes, depth);
            (result.names.join(" "), result.prefixes.join(" "))
        };
        assert_eq!(listed(&[], 0), ("a b.c b.d.e bb.f".into(), "b b.d bb".into()));
        assert_eq!(listed(&[], 1), ("a".into(), String::new()));
        assert_eq!(listed(&["b"], 0), ("b.c b.d.e".into(), "b b.d".into()));
        assert_eq!(listed(&["b"], 1), ("b.c".into(), "b".into()));
        assert_eq!(listed(&["a", "bb"], 0), ("a bb.f".into(), "bb".into()));
    }
}
