//! The six parameter services and /parameter_events, as every ROS node has them. r2r's own know neither ranges nor
//! read-only parameters, and publish no events.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use r2r::rcl_interfaces::msg::{
    self, ListParametersResult, ParameterDescriptor, ParameterType, SetParametersResult,
};
use r2r::rcl_interfaces::srv::{
    DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters,
    SetParametersAtomically,
};
use r2r::{Node, ParameterValue, QosProfile, ServiceRequest, WrappedServiceTypeSupport};

/// A node's parameters, as the services read and set them.
pub trait ParameterStore {
    /// What the parameters amount to.
    type Config;
    /// Why they are not set.
    type Refusal: Display;

    /// All names, sorted.
    fn names(&self) -> Vec<String>;
    fn get(&self, name: &str) -> Option<ParameterValue>;

    /// Fills in what there is to know of a parameter beside its name and type.
    fn describe(&self, name: &str, descriptor: &mut ParameterDescriptor);

    /// All of these changes or none; what the parameters amount to with them.
    ///
    /// # Errors
    /// Why they are refused, for whoever asked.
    fn set(&mut self, changes: &[(String, ParameterValue)]) -> Result<Self::Config, Self::Refusal>;
}

/// The parameters, shared by the services and the node.
pub type Shared<P> = Arc<Mutex<P>>;

/// Locks the parameters; nothing panics while it holds them.
pub fn lock<P>(parameters: &Shared<P>) -> MutexGuard<'_, P> {
    parameters.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Offers the services; the future answers them for as long as the node lives. `on_change` is
/// given what the parameters amount to and which were set, in the order in which they were.
pub fn offer<P: ParameterStore + Send, F: Fn(P::Config, Vec<String>) + Send + Sync>(
    node: &mut Node,
    parameters: Shared<P>,
    on_change: F,
) -> r2r::Result<impl Future<Output = ()> + Send + use<P, F>> {
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
    let set_together = move |changes: &[msg::Parameter]| set_together(&parameters, &on_change, changes);
    Ok(async move {
        futures::join!(
            serve(get, move |request| GetParameters::Response {
                values: request
                    .names
                    .iter()
                    .map(|name| value_msg(lock(&for_get).get(name).as_ref()))
                    .collect(),
            }),
            serve(types, move |request| GetParameterTypes::Response {
                types: request
                    .names
                    .iter()
                    .map(|name| type_of(lock(&for_types).get(name).as_ref()))
                    .collect(),
            }),
            serve(list, move |request| ListParameters::Response {
                result: listed(&lock(&for_list).names(), &request.prefixes, request.depth),
            }),
            serve(describe, move |request| DescribeParameters::Response {
                descriptors: request
                    .names
                    .iter()
                    .map(|name| described(&*lock(&for_describe), name))
                    .collect(),
            }),
            serve(set, |request| SetParameters::Response {
                results: request
                    .parameters
                    .iter()
                    .map(|one| set_together(std::slice::from_ref(one)))
                    .collect(),
            }),
            serve(together, |request| SetParametersAtomically::Response {
                result: set_together(&request.parameters),
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

fn set_together<P: ParameterStore>(
    parameters: &Shared<P>,
    on_change: impl Fn(P::Config, Vec<String>),
    changes: &[msg::Parameter],
) -> SetParametersResult {
    let wanted: Vec<_> = changes.iter().map(|one| (one.name.clone(), value_from_msg(&one.value))).collect();
    // The lock is held until the change is passed on, so that changes are passed on in the order in which they were made.
    let mut parameters = lock(parameters);
    match parameters.set(&wanted) {
        Ok(config) => {
            let names = wanted.into_iter().map(|(name, _)| name).collect();
            on_change(config, names);
            SetParametersResult { successful: true, reason: String::new() }
        }
        Err(refusal) => SetParametersResult { successful: false, reason: refusal.to_string() },
    }
}

/// Parameters as messages, for /parameter_events.
pub fn parameter_msgs<'a>(
    parameters: &impl ParameterStore,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<msg::Parameter> {
    let message = |name: &str| msg::Parameter {
        name: name.to_owned(),
        value: value_msg(parameters.get(name).as_ref()),
    };
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
    pub const INTEGER_ARRAY: u8 = ParameterType::PARAMETER_INTEGER_ARRAY as u8;
    pub const DOUBLE_ARRAY: u8 = ParameterType::PARAMETER_DOUBLE_ARRAY as u8;
    pub const STRING_ARRAY: u8 = ParameterType::PARAMETER_STRING_ARRAY as u8;
}

fn type_of(value: Option<&ParameterValue>) -> u8 {
    match value {
        Some(ParameterValue::Bool(_)) => kind::BOOL,
        Some(ParameterValue::Integer(_)) => kind::INTEGER,
        Some(ParameterValue::Double(_)) => kind::DOUBLE,
        Some(ParameterValue::String(_)) => kind::STRING,
        Some(ParameterValue::StringArray(_)) => kind::STRING_ARRAY,
        // No parameter here is of another type.
        _ => kind::NOT_SET,
    }
}

fn value_msg(value: Option<&ParameterValue>) -> msg::ParameterValue {
    let mut message = msg::ParameterValue { type_: type_of(value), ..Default::default() };
    match value {
        Some(ParameterValue::Bool(value)) => message.bool_value = *value,
        Some(ParameterValue::Integer(value)) => message.integer_value = *value,
        Some(ParameterValue::Double(value)) => message.double_value = *value,
        Some(ParameterValue::String(text)) => message.string_value.clone_from(text),
        Some(ParameterValue::StringArray(texts)) => message.string_array_value.clone_from(texts),
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
        kind::INTEGER_ARRAY => ParameterValue::IntegerArray(message.integer_array_value.clone()),
        kind::DOUBLE_ARRAY => ParameterValue::DoubleArray(message.double_array_value.clone()),
        // Bytes and lists of switches, and what is not set: no parameter here is one, whatever it holds.
        _ => ParameterValue::NotSet,
    }
}

fn described(parameters: &impl ParameterStore, name: &str) -> ParameterDescriptor {
    let mut descriptor = ParameterDescriptor {
        name: name.to_owned(),
        type_: type_of(parameters.get(name).as_ref()),
        ..Default::default()
    };
    parameters.describe(name, &mut descriptor);
    descriptor
}

/// What `list_parameters` answers: names below one of the prefixes (all without any), not more than `depth` levels
/// deep (0: however deep), and the groups that they stand in.
fn listed(names: &[String], prefixes: &[String], depth: u64) -> ListParametersResult {
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
    for name in names.iter().filter(|name| wanted(name)) {
        result.names.push(name.clone());
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
        let names = ["a", "b.c", "b.d.e", "bb.f"].map(str::to_owned);
        let listed = |prefixes: &[&str], depth| {
            let prefixes: Vec<String> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
            let result = listed(&names, &prefixes, depth);
            (result.names.join(" "), result.prefixes.join(" "))
        };
        assert_eq!(listed(&[], 0), ("a b.c b.d.e bb.f".into(), "b b.d bb".into()));
        assert_eq!(listed(&[], 1), ("a".into(), String::new()));
        assert_eq!(listed(&["b"], 0), ("b.c b.d.e".into(), "b b.d".into()));
        assert_eq!(listed(&["b"], 1), ("b.c".into(), "b".into()));
        assert_eq!(listed(&["a", "bb"], 0), ("a bb.f".into(), "bb".into()));
    }
}
