//! What the hub refuses, and what it is told.

use super::*;

fn refusal(part: &'static str, status: u16, code: &'static str, message: &'static str) -> Mishaps {
    Mishaps { refusal: Some((part, status, code, message)), ..Mishaps::default() }
}

#[test]
fn models_and_revisions_that_do_not_exist_are_named() {
    let lab = Lab::new();
    lab.refused("lab/other", &["no model lab/other", &lab.hub.endpoint, "no folder"]);
    lab.refused("lab/tiny@v9", &["lab/tiny", "no revision \"v9\""]);
    lab.hub.mishaps(refusal("/api/", 404, "", ""));
    lab.refused(ID, &["no model lab/tiny"]);
    assert!(!lab.settings.cache.exists());
}

#[test]
fn models_that_are_not_for_everyone_say_how_to_get_them() {
    let mut lab = Lab::new();
    let page = format!("{}/lab/tiny", lab.hub.endpoint);
    let advice = ["licence", page.as_str(), "HF_TOKEN"];
    for mishap in [
        refusal("/resolve/", 401, "GatedRepo", "Access to model lab/tiny is restricted."),
        refusal("/resolve/", 403, "GatedRepo", "Access to model lab/tiny is restricted."),
        refusal("/resolve/", 403, "", ""),
        refusal("/api/", 401, "", "Invalid username or password."),
    ] {
        lab.hub.mishaps(mishap);
        assert!(matches!(lab.refused(ID, &advice), HubError::Gated { .. }));
    }
    lab.settings.token = Token::new("hf_secret");
    lab.hub.mishaps(refusal("/api/", 401, "", "Invalid credentials in Authorization header"));
    let error = lab.refused(ID, &["token", "HF_TOKEN"]);
    assert!(matches!(error, HubError::BadToken { .. }) && !error.to_string().contains("hf_secret"));
    // No sense in trying any of these again.
    assert_eq!(lab.hub.take_seen().iter().filter(|seen| seen.path.starts_with("/api")).count(), 5);
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let mut lab = Lab::new();
    lab.settings.token = Token::new("hf_secret");
    lab.fetch().unwrap();
    let (cdn, hub): (Vec<_>, Vec<_>) =
        lab.hub.take_seen().into_iter().partition(|seen| seen.host.starts_with("localhost"));
    assert_eq!((cdn.len(), hub.len()), (2, 8));
    assert!(cdn.iter().all(|seen| seen.path.starts_with("/cdn/") && seen.authorization.is_none()));
    assert!(hub.iter().all(|seen| seen.authorization.as_deref() == Some("Bearer hf_secret")));
}

#[test]
fn the_token_goes_to_no_other_port_and_a_password_into_no_message() {
    let (mut lab, other) = (Lab::new(), Lab::new());
    for bare_list in [false, true] {
        lab.settings.cache = lab.settings.cache.join("below");
        lab.settings.token = Token::new("hf_secret");
        lab.hub.mishaps(Mishaps { elsewhere: Some(other.hub.port), bare_list, ..Mishaps::default() });
        lab.fetch().unwrap();
        let seen = other.hub.take_seen();
        assert!(seen.len() == 2 && seen.iter().all(|seen| seen.authorization.is_none()), "{seen:?}");
        let own = lab.hub.take_seen();
        assert!(own.iter().all(|seen| seen.authorization.as_deref() == Some("Bearer hf_secret")));
    }
    lab.settings.cache = lab.settings.cache.join("below");
    lab.settings.endpoint = lab.hub.endpoint.replace("http://", "http://me:a_password@");
    lab.hub.mishaps(refusal("/api/", 418, "", ""));
    let error = lab.refused(ID, &["127.0.0.1", "418"]).to_string();
    assert!(!error.contains("a_password"), "{error}");
}

#[test]
fn models_of_another_kind_are_refused_before_their_weights_come() {
    let lab = Lab::new();
    lab.hub.put("config.json", b"{\"model_type\": \"llama\"}");
    lab.refused(ID, &["lab/tiny cannot be used", "llama", "qwen3_vl"]);
    assert!(!lab.hub.take_files().iter().any(|(name, _)| name == WEIGHTS));

    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(golden("tied/config.json"), folder.path().join("config.json")).unwrap();
    let lab = Lab { hub: Hub::of(folder.path()), ..Lab::new() };
    let lab =
        Lab { settings: HubSettings { endpoint: lab.hub.endpoint.clone(), ..lab.settings.clone() }, ..lab };
    lab.refused(ID, &["no tokenizer.json on the hub"]);
    lab.hub.put("tokenizer.json", b"{}");
    lab.refused(ID, &["no model.safetensors on the hub"]);
    assert!(lab.hub.take_files().is_empty());
}

#[test]
fn a_server_that_is_no_hub_is_told_apart() {
    let lab = Lab::new();
    lab.hub.mishaps(refusal("/api/", 200, "", ""));
    lab.refused(ID, &[&lab.hub.endpoint, "does not answer as a Hugging Face hub"]);
    lab.hub.mishaps(refusal("/api/", 418, "", ""));
    lab.refused(ID, &[&lab.hub.endpoint, "418"]);
    lab.hub.mishaps(refusal("/resolve/", 404, "EntryNotFound", ""));
    lab.refused(ID, &["chat_template.json", "404"]);
}
