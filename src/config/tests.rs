use super::*;

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
        "topreward:\n  ros__parameters:\n    cameras: [wrist, front]\n    camera:\n      wrist: {transport: compressed}\n\
         \x20     unused: {topic: /x}\n    camera.front.topic: /front/image\n",
    )
    .unwrap();
    let flat = config.to_parameters().unwrap();
    let shown = |name: &str| flat.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert_eq!(shown("camera.wrist.transport"), Some("compressed".into()));
    assert_eq!(shown("camera.wrist.topic"), Some("".into()));
    assert_eq!(shown("camera.front.topic"), Some("/front/image".into()));
    assert_eq!(shown("camera.unused.topic"), None);
    assert_eq!(Config::from_parameters(flat).unwrap(), config);
}

#[test]
fn parameters_go_out_and_come_back() {
    let config = Config { instruction: "lift".into(), ..Config::default() };
    let flat = config.to_parameters().unwrap();
    assert!(flat.iter().any(|(name, _)| name == "success.threshold_nats"));
    assert_eq!(Config::from_parameters(flat).unwrap(), config);
}

#[test]
fn what_is_wrong_is_named() {
    let with = |yaml: &str| {
        let indented = yaml.replace('\n', "\n    ");
        read(&format!("topreward:\n  ros__parameters:\n    {indented}\n")).unwrap_err().to_string()
    };
    for (yaml, named) in [
        ("success: {treshold_nats: -1}", "treshold_nats"),
        ("sampling: {rate_hz: 0}", "sampling.rate_hz"),
        ("sampling: {rate_hz: fast}", "sampling.rate_hz"),
        ("success: {threshold_nats: 0.5}", "success.threshold_nats"),
        ("success: {hold_s: -1}", "success.hold_s"),
        ("success: {window: 0}", "success.window"),
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
    }
    assert!(read("a: 1").unwrap_err().to_string().contains("ros__parameters"));
    assert!(Config::from_file(Path::new("/no/such.yaml")).unwrap_err().to_string().contains("/no/such.yaml"));
}
