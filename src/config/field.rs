//! How the Rust type of a parameter is read from a value, and becomes one.

use super::error::Unfit;
use super::value::Value;

/// A type that a parameter can have.
pub trait Field: Sized {
    fn to_value(&self) -> Value;

    /// # Errors
    /// The value is of another type.
    fn from_value(value: &Value) -> Result<Self, Unfit>;
}

impl Field for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }

    fn from_value(value: &Value) -> Result<Self, Unfit> {
        match value {
            Value::Bool(value) => Ok(*value),
            _ => Err(wanted("true or false", value)),
        }
    }
}

impl Field for f64 {
    fn to_value(&self) -> Value {
        Value::Number(*self)
    }

    /// Files and ROS tell 20 from 20.0; here both will do.
    fn from_value(value: &Value) -> Result<Self, Unfit> {
        match value {
            Value::Number(number) => Ok(*number),
            Value::Whole(number) => Ok(*number as f64),
            _ => Err(wanted("a number", value)),
        }
    }
}

macro_rules! whole_numbers {
    ($($type:ty)+) => { $(
        impl Field for $type {
            fn to_value(&self) -> Value {
                Value::Whole(i64::try_from(*self).unwrap_or(i64::MAX))
            }

            fn from_value(value: &Value) -> Result<Self, Unfit> {
                let Value::Whole(number) = value else { return Err(wanted("a whole number", value)) };
                Self::try_from(*number).map_err(|_| wanted("a whole number of 0 or more", value))
            }
        }
    )+ };
}

whole_numbers! { u32 usize }

impl Field for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn from_value(value: &Value) -> Result<Self, Unfit> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(wanted(TEXT, value)),
        }
    }
}

impl Field for Vec<String> {
    fn to_value(&self) -> Value {
        Value::Texts(self.clone())
    }

    fn from_value(value: &Value) -> Result<Self, Unfit> {
        match value {
            Value::Texts(texts) => Ok(texts.clone()),
            _ => Err(wanted("a list of texts, e.g. [wrist, front]", value)),
        }
    }
}

/// What a text must be; ROS takes `off` for false and `1` for a number.
pub const TEXT: &str = "text (in quotes, if it looks like a number or yes/no)";

/// The value is not what was wanted.
pub fn wanted(wanted: &'static str, found: &Value) -> Unfit {
    Unfit::Type { found: found.clone(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: Field + PartialEq + std::fmt::Debug>(field: T) {
        assert_eq!(T::from_value(&field.to_value()), Ok(field));
    }

    #[test]
    fn what_goes_out_comes_back() {
        back(true);
        back(0.1);
        back(7_usize);
        back("off".to_owned());
        back(vec!["wrist".to_owned(), "front".to_owned()]);
    }

    #[test]
    fn another_type_is_shown_beside_what_was_wanted() {
        let told = |error: Unfit| error.to_string();
        let text = Value::Text("1".into());
        assert_eq!(told(bool::from_value(&Value::Whole(1)).unwrap_err()), "1 is not true or false");
        assert_eq!(told(f64::from_value(&text).unwrap_err()), "\"1\" is not a number");
        assert_eq!(told(usize::from_value(&Value::Number(2.0)).unwrap_err()), "2.0 is not a whole number");
        assert!(usize::from_value(&Value::Whole(-1)).is_err());
        assert!(told(String::from_value(&Value::Bool(false)).unwrap_err()).starts_with("false is not text"));
        assert!(Vec::from_value(&text).is_err());
        assert_eq!(f64::from_value(&Value::Whole(2)), Ok(2.0));
    }
}
