//! Makes the configuration's structs, their defaults and the declarations of all parameters from the table.

/// Takes what looks like the structs themselves. A row is a field with its default, then what a field cannot
/// say: when the parameter can change, its bounds, and its unit if it has one.
///
/// ```text
/// struct Reset as reset {                  // a new struct `Reset` with the parameters `reset.…`
///     /// The text for users, and the field's documentation.
///     timeout_s: f64 = 5.0, StartUp, above(0.0, DAY_S), Seconds;
///     service_type as type: …              // the field `service_type` is the parameter `reset.type`
/// }
/// use FailureSettings as failure {         // the struct and its defaults are in src/reward
///     /// The text for users.
///     stuck_s, AnyTime, from(0.0, DAY_S), Seconds;
/// }
/// ```
macro_rules! parameters {
    (
        $(#[doc = $text:literal])+
        struct Config { $(
            $(#[doc = $field_text:literal])+
            $field:ident: $type:ty = $default:expr, $change:ident, $bounds:expr $(, $unit:ident)?;
        )+ }
        $(
            $(#[doc = $group_text:literal])+
            $keyword:ident $Group:ident as $group:ident $rows:tt
        )+
    ) => {
        $(#[doc = $text])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $( $(#[doc = $field_text])+ pub $field: $type, )+
            /// What differs from the defaults, by camera.
            pub camera: BTreeMap<String, Camera>,
            $( $(#[doc = $group_text])+ pub $group: $Group, )+
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $( $field: $default, )+
                    camera: BTreeMap::new(),
                    $( $group: $Group::default(), )+
                }
            }
        }

        $( parameters!(@struct $keyword $Group [$($group_text)+] $rows); )+

        /// Every parameter, in the order of the reference file.
        pub const GROUPS: &[Group<Config>] = &[
            Group {
                name: "",
                text: parameters!(@text $($text)+),
                parameters: &[ $( parameters!(
                    @declare stringify!($field), [$field], [$($field_text)+], $change, $bounds $(, $unit)?
                ) ),+ ],
            },
            CAMERA,
            $( Group {
                name: stringify!($group),
                text: parameters!(@text $($group_text)+),
                parameters: parameters!(@list $group $rows),
            } ),+
        ];
    };

    // The struct of a group.
    (@struct struct $Group:ident [$($text:literal)+] { $(
        $(#[doc = $field_text:literal])+
        $field:ident $(as $name:ident)?: $type:ty = $default:expr, $change:ident,
            $bounds:expr $(, $unit:ident)?;
    )+ }) => {
        $(#[doc = $text])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $Group { $( $(#[doc = $field_text])+ pub $field: $type, )+ }

        impl Default for $Group {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }
    };
    // It is there already.
    (@struct use $($elsewhere:tt)+) => {};

    // The declarations of a group.
    (@list $group:ident { $(
        $(#[doc = $text:literal])+
        $field:ident $(as $name:ident)? $(: $type:ty = $default:expr)?, $change:ident,
            $bounds:expr $(, $unit:ident)?;
    )+ }) => {
        &[ $( parameters!(
            @declare concat!(stringify!($group), ".", parameters!(@name $field $($name)?)),
            [$group.$field], [$($text)+], $change, $bounds $(, $unit)?
        ) ),+ ]
    };

    // One declaration; `$field` is the way to the field: `reset.timeout_s`.
    (
        @declare $name:expr, [$($field:tt)+], [$($text:literal)+],
        $change:ident, $bounds:expr $(, $unit:ident)?
    ) => {
        Declaration {
            name: $name,
            text: parameters!(@text $($text)+),
            change: Change::$change,
            bounds: $bounds,
            unit: parameters!(@unit $($unit)?),
            get: |config, _| config.$($field)+.to_value(),
            set: |config, _, value| {
                config.$($field)+ = Field::from_value(value)?;
                Ok(())
            },
        }
    };

    // The last part of a parameter's name.
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:ident) => { stringify!($name) };
    (@unit) => { Unit::None };
    (@unit $unit:ident) => { Unit::$unit };
    // The lines of a doc comment begin with a blank each.
    (@text $($line:literal)+) => { concat!($($line),+).trim_ascii_start() };
}

pub(super) use parameters;
