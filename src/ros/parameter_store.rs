//! The node's parameters as the parameter services read, describe and set them.

use r2r::ParameterValue;
use r2r::rcl_interfaces::msg::{FloatingPointRange, IntegerRange, ParameterDescriptor};
use serde_yaml::Value;

use super::params::{ChangeError, Parameters, USE_SIM_TIME};
use super::rcl::parameter_services::ParameterStore;
use crate::config::{Bounds, Change, Config, declaration};

impl ParameterStore for Parameters {
    type Config = Config;
    type Refusal = ChangeError;

    fn names(&self) -> Vec<String> {
        self.names().map(str::to_owned).collect()
    }

    fn get(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }

    fn set(&mut self, changes: &[(String, ParameterValue)]) -> Result<Self::Config, Self::Refusal> {
        self.set(changes)
    }

    fn describe(&self, name: &str, descriptor: &mut ParameterDescriptor) {
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
    }
}
