//! Parameters whose value is one of a few names.

use super::bounds::Bounds;
use super::error::Unfit;
use super::field::{Field, TEXT, wanted};
use super::value::Value;
use crate::episode::StampSource;
use crate::model::{DeviceChoice, DtypeChoice};
use crate::reward::{BiasControl, Fusion, ProgressMode, ProgressScale};

/// How images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `sensor_msgs/Image`
    Raw,
    /// `sensor_msgs/CompressedImage`
    Compressed,
}

/// What the robot's reset service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetType {
    /// `std_srvs/srv/Trigger`
    Trigger,
    /// `std_srvs/srv/Empty`: every answer is a success.
    Empty,
    /// `std_srvs/srv/SetBool`, called with true.
    SetBool,
}

/// A type of a few values that have names.
pub trait Choice: Copy + 'static {
    /// All of them, in the order in which they are shown.
    const NAMES: &'static [&'static str];

    fn name(self) -> &'static str;
    fn named(name: &str) -> Option<Self>;
}

/// The bounds of a parameter of this type.
pub const fn choice<T: Choice>() -> Bounds {
    Bounds::Choice(T::NAMES)
}

/// The bounds of a parameter that may also be empty.
pub const fn choice_or_empty<T: Choice>() -> Bounds {
    Bounds::ChoiceOrEmpty(T::NAMES)
}

macro_rules! choices {
    ($($type:ty { $($variant:ident: $name:literal),+ })+) => { $(
        impl Choice for $type {
            const NAMES: &'static [&'static str] = &[$($name),+];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }

        impl Field for $type {
            fn to_value(&self) -> Value {
                Value::Text(self.name().to_owned())
            }

            fn from_value(value: &Value) -> Result<Self, Unfit> {
                let Value::Text(name) = value else { return Err(wanted(TEXT, value)) };
                let unknown = || Unfit::OutOfBounds { found: value.clone(), bounds: choice::<Self>() };
                Self::named(name).ok_or_else(unknown)
            }
        }
    )+ };
}

choices! {
    BiasControl { Off: "off", Static: "static" }
    DeviceChoice { Cpu: "cpu", Cuda: "cuda", Metal: "metal" }
    DtypeChoice { Auto: "auto", F32: "f32", Bf16: "bf16", F16: "f16", Q8: "q8", Q6: "q6", Q4: "q4" }
    Fusion { Mean: "mean", Min: "min", Max: "max" }
    ProgressMode { Goal: "goal", Probability: "probability", Running: "running", Calibrated: "calibrated" }
    ProgressScale { Nats: "nats", Probability: "probability" }
    ResetType { Trigger: "trigger", Empty: "empty", SetBool: "set_bool" }
    StampSource { Header: "header", Receipt: "receipt" }
    Transport { Raw: "raw", Compressed: "compressed" }
}

/// Empty: none of them.
impl<T: Choice + Field> Field for Option<T> {
    fn to_value(&self) -> Value {
        Value::Text(self.map_or("", T::name).to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Unfit> {
        match value {
            Value::Text(text) if text.is_empty() => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What results are written with must be what parameters are.
    fn named_as_in_results<T: Choice + serde::Serialize>() {
        for name in T::NAMES {
            let choice = T::named(name).unwrap();
            assert_eq!((choice.name(), serde_json::to_value(choice).unwrap()), (*name, (*name).into()));
        }
    }

    #[test]
    fn names_are_those_of_results_and_of_the_command_line() {
        named_as_in_results::<BiasControl>();
        named_as_in_results::<DeviceChoice>();
        named_as_in_results::<DtypeChoice>();
        named_as_in_results::<Fusion>();
        named_as_in_results::<ProgressMode>();
        named_as_in_results::<ProgressScale>();
        assert_eq!(<DtypeChoice as Choice>::NAMES, DtypeChoice::NAMES);
        assert_eq!(<DeviceChoice as Choice>::NAMES, DeviceChoice::NAMES);
    }

    #[test]
    fn an_empty_text_is_no_choice_where_there_may_be_none() {
        let read = |text: &str| Option::<Transport>::from_value(&Value::Text(text.to_owned()));
        assert_eq!((read(""), read("raw")), (Ok(None), Ok(Some(Transport::Raw))));
        assert_eq!(read("zip").unwrap_err().to_string(), "\"zip\" is not one of raw, compressed");
        assert_eq!(None::<Transport>.to_value(), Value::Text(String::new()));
    }
}
