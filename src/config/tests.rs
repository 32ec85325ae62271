use super::*;
use crate::reward::SuccessSettings;

fn read(yaml: &str) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    Config::from_file(file.path())
}

#[test]
fn a_parameter_file_is_read_with_nested_and_dotted_names() {
    let config = read(
        "/**:\n  ros__parameters:\n    sampling.rate_hz: 4\n    success: {hold_s: 2, window: 5}\n\
         topreward:\n  ros__parameters:\n    instruction: lift\n    success:\n      window: 4\n",
    )
    .unwrap();
    assert_eq!(config.sampling.rate_hz, 4.0);
    assert_eq!((config.success.hold_s, config.success.window), (2.0, 4));
    assert_eq!(config.instruction, "lift");
    assert_eq!(config.success.threshold_nats, SuccessSettings::default().threshold_nats);
}

#[test]
fn parameters_of_cameras_go_out_and_come_back() {
    let config = read(
        "topreward:\n  ros__parameters:\n    cameras: [wrist, front]\n    camera:\n\
         \x20     wrist: {transport: compressed}\n      unused: {topic: /x}\n\
         \x20   camera.front.topic: /front/image\n",
    )
    .unwrap();
    let shown = |name: &str| config.get(name);
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    assert_eq!(shown("camera.wrist.transport"), text("compressed"));
    assert_eq!(shown("camera.wrist.topic"), text(""));
    assert_eq!(shown("camera.front.topic"), text("/front/image"));
    assert_eq!(shown("camera.unused.topic"), None);
    assert_eq!(Config::from_parameters(config.to_parameters()).unwrap(), config);
    let names = config.names();
    let of_cameras: Vec<&String> = names.iter().filter(|name| name.starts_with("camera.")).collect();
    assert_eq!(
        of_cameras,
        [
            "camera.wrist.topic",
            "camera.front.topic",
            "camera.wrist.stamps",
            "camera.front.stamps",
            "camera.wrist.transport",
            "camera.front.transport"
        ]
    );
}

#[test]
fn every_parameter_that_is_set_is_the_one_that_is_read() {
    for name in Config::default().names() {
        let mut config = Config::default();
        let before = config.to_parameters();
        let other = another(&name, &config.get(&name).unwrap());
        config.set(&name, &other).unwrap();
        for (known, value) in before {
            let expected = if known == name { &other } else { &value };
            // The names of the cameras are part of the names of parameters.
            let gone = name == "cameras" && known.starts_with("camera.");
            assert_eq!(config.get(&known).as_ref(), Some(expected).filter(|_| !gone), "{name}: {known}");
        }
        assert_ne!(config, Config::default(), "{name}");
    }
}

/// A value that fits and is not this one.
fn another(name: &str, value: &Value) -> Value {
    let declared = declaration(name).unwrap();
    match (value, declared.bounds) {
        (Value::Bool(value), Bounds::Free) => Value::Bool(!value),
        (Value::Text(text), Bounds::Choice(names) | Bounds::ChoiceOrEmpty(names)) => {
            Value::Text(names.iter().find(|name| *name != text).unwrap().to_string())
        }
        (Value::Text(_), Bounds::Free) => Value::Text("another".to_owned()),
        (Value::Texts(_), Bounds::Free) => Value::Texts(vec!["another".to_owned()]),
        (Value::Number(number), Bounds::Number { from, to, .. }) => {
            Value::Number(if *number == to { from / 2.0 } else { to })
        }
        (Value::Whole(number), Bounds::Whole { from, to }) => {
            Value::Whole(if *number == to { from } else { to })
        }
        (value, bounds) => panic!("{name}: {value} cannot have {bounds:?}"),
    }
}

#[test]
fn a_number_has_the_unit_that_its_name_ends_in() {
    for declared in declarations() {
        let ending = declared.name.rsplit('_').next().unwrap();
        let unit = match ending {
            "s" => Unit::Seconds,
            "hz" => Unit::Hertz,
            "nats" => Unit::Nats,
            "tokens" => Unit::Tokens,
            "pixels" => Unit::Pixels,
            _ => continue,
        };
        assert_eq!(declared.unit, unit, "{}", declared.name);
    }
}

#[test]
fn settings_of_other_rooms_are_all_declared() {
    let fields = |settings: serde_json::Value| -> Vec<String> {
        settings.as_object().unwrap().keys().cloned().collect()
    };
    let config = Config::default();
    for (group, settings) in [
        ("progress", serde_json::to_value(config.progress)),
        ("success", serde_json::to_value(config.success)),
        ("failure", serde_json::to_value(config.failure)),
    ] {
        let group = GROUPS.iter().find(|known| known.name == group).unwrap();
        let declared = group.parameters.iter().map(|one| one.name.rsplit('.').next().unwrap().to_owned());
        let (mut declared, mut fields) = (declared.collect::<Vec<_>>(), fields(settings.unwrap()));
        declared.sort();
        fields.sort();
        assert_eq!(declared, fields, "{}", group.name);
    }
}

#[test]
fn defaults_and_every_text_are_there() {
    Config::default().validate().unwrap();
    for declared in declarations() {
        let text = declared.text;
        assert!(text.ends_with('.') && !text.starts_with(' ') && !text.contains("  "), "{text}");
    }
}

#[test]
fn what_is_set_past_the_checks_is_found() {
    let mut config = Config::default();
    config.sampling.rate_hz = f64::NAN;
    assert!(config.validate().unwrap_err().to_string().starts_with("parameter sampling.rate_hz: NaN is not"));
    let config = Config { cameras: Vec::new(), ..Config::default() };
    assert!(config.validate().unwrap_err().to_string().starts_with("parameter cameras: it is empty"));
}

#[test]
fn a_group_may_be_empty() {
    let yaml = "topreward:\n  ros__parameters:\n    success:\n    reset: {}\n    camera:\n      camera:\n";
    assert_eq!(read(yaml).unwrap(), Config::default());
    assert_eq!(read("/**: {ros__parameters: {}}").unwrap(), Config::default());
    for (nothing, named) in [("succes:", "succes"), ("succes: {}", "succes"), ("instruction:", "instruction")]
    {
        let error =
            read(&format!("topreward:\n  ros__parameters:\n    {nothing}\n")).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let with = |yaml: &str| {
        let indented = yaml.replace('\n', "\n    ");
        read(&format!("topreward:\n  ros__parameters:\n    {indented}\n")).unwrap_err().to_string()
    };
    for (yaml, named) in [
        ("success: {treshold_nats: -1}", "did you mean \"success.threshold_nats\"?"),
        ("sampling: {rate_hz: 0}", "sampling.rate_hz"),
        ("sampling: {rate_hz: fast}", "parameter sampling.rate_hz: \"fast\" is not a number"),
        ("success: {threshold_nats: 0.5}", "success.threshold_nats"),
        ("success: {hold_s: -1}", "success.hold_s"),
        ("success: {window: 0}", "success.window"),
        ("success: {window: -3}", "parameter success.window: -3 is not from 1 to 1000"),
        ("success: {window: 2.5}", "parameter success.window: 2.5 is not a whole number"),
        ("success: 5", "\"success\""),
        ("success: {window: {a: 5}}", "success.window.a"),
        ("instruction: 5", "parameter instruction: 5 is not text"),
        ("cameras: [1]", "parameter cameras: a list of other things than texts is not"),
        ("progress: {scale: percent}", "progress.scale"),
        ("image: {transport: theora}", "theora"),
        ("cameras: [wrist, wrist]", "cameras"),
        ("cameras: [3d]", "3d"),
        ("cameras: []", "cameras"),
        ("camera: {camera: {topik: x}}", "topik"),
        ("fusion: median", "median"),
        ("episode: {max_duration_s: .nan}", "episode.max_duration_s"),
    ] {
        let message = with(yaml);
        assert!(message.contains(named), "{yaml}: {message}");
        assert!(message.starts_with('/'), "the file is named: {message}");
    }
    assert!(read("a: 1").unwrap_err().to_string().contains("ros__parameters"));
    assert!(Config::from_file(Path::new("/no/such.yaml")).unwrap_err().to_string().contains("/no/such.yaml"));
}

#[test]
fn a_file_that_no_person_wrote_is_refused_before_it_is_parsed() {
    let deep = read(&"[".repeat(100_000)).unwrap_err().to_string();
    assert!(deep.contains("line 1 opens more than 64 lists and maps"), "{deep}");
    let long = read(&" ".repeat((1 << 20) + 1)).unwrap_err().to_string();
    assert!(long.contains("more than 1048576 bytes"), "{long}");
}
