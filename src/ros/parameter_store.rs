//! The node's parameters as the parameter services read, describe and set them.

use r2r::ParameterValue;
use r2r::rcl_interfaces::msg::{FloatingPointRange, IntegerRange, ParameterDescriptor};

use super::params::{ChangeError, Parameters, USE_SIM_TIME};
use super::rcl::parameter_services::ParameterStore;
use crate::config::{Bounds, Change, Config, Unit, declaration};

impl ParameterStore for Parameters {
    type Config = Config;
    type Refusal = ChangeError;

    fn names(&self) -> Vec<String> {
        self.names()
    }

    fn get(&self, name: &str) -> Option<ParameterValue> {
        self.get(name)
    }

    fn set(&mut self, changes: &[(String, ParameterValue)]) -> Result<Self::Config, Self::Refusal> {
        self.set(changes)
    }

    fn describe(&self, name: &str, descriptor: &mut ParameterDescriptor) {
        if name == USE_SIM_TIME {
            descriptor.description = "Take the time from /clock.".to_owned();
            descriptor.read_only = true;
        } else if let Some(declared) = declaration(name) {
            descriptor.description = match declared.unit {
                Unit::None => declared.text.to_owned(),
                unit => format!("{} Unit: {}.", declared.text, unit.sign()),
            };
            descriptor.additional_constraints = declared.bounds.words();
            descriptor.read_only = declared.change == Change::StartUp;
            match declared.bounds {
                Bounds::Number { from, to, .. } => {
                    descriptor.floating_point_range =
                        vec![FloatingPointRange { from_value: from, to_value: to, step: 0.0 }];
                }
                Bounds::Whole { from, to } => {
                    let range = IntegerRange { from_value: from, to_value: to, step: 1 };
                    descriptor.integer_range = vec![range];
                }
                Bounds::Free | Bounds::Choice(_) | Bounds::ChoiceOrEmpty(_) => {}
            }
        }
    }
}
