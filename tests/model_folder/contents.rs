//! What else may lie in a model folder, and in its weights.

use super::*;

/// All that `topreward inspect` says.
fn inspected(folder: &Folder) -> String {
    let output = common::topreward(&["inspect", common::text(folder.0.path())]);
    common::stdout(&output) + &common::stderr(&output)
}

const TABLE: &str = "model.language_model.embed_tokens.weight";

#[test]
fn a_head_of_its_own_is_the_head() {
    let head = |weights: &mut Vec<(String, Tensor)>, change: f64| {
        let table = weights.iter().find(|(name, _)| name == TABLE).unwrap().1.clone();
        // The rows in another order, so that the answers are others.
        let rows: Vec<u32> = (0..400u32).map(|row| (row + (change as u32)) % 400).collect();
        let rows = Tensor::new(rows, &Device::Cpu).unwrap();
        weights.push(("lm_head.weight".to_owned(), table.index_select(&rows, 0).unwrap()));
    };
    let tied = Folder::copy_of("tied");
    tied.change_weights(|weights| head(weights, 7.0));
    let own = score(&tied.load().unwrap());
    assert_ne!(own, original("tied"));
    tied.set("config.json", "/tie_word_embeddings", json!(false));
    assert_eq!(score(&tied.load().unwrap()), own);
    // The same numbers once more are nothing new.
    let twice = Folder::copy_of("tied");
    twice.change_weights(|weights| head(weights, 0.0));
    assert_eq!(score(&twice.load().unwrap()), original("tied"));
}

#[test]
fn tensors_that_nobody_takes_are_named() {
    let number = || Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap();
    let layer = "model.language_model.layers.4.mlp.up_proj.weight";
    for (name, words) in [
        (layer, [layer, "config.json has only 4 layers"]),
        ("model.visual.blocks.9.norm1.bias", ["model.visual.blocks.9.norm1.bias", "not of the model"]),
        (
            "model.language_model.layers.0.self_attn.q_proj.lora_A.weight",
            ["q_proj.lora_A.weight", "merge it first"],
        ),
    ] {
        let folder = Folder::copy_of("tied");
        folder.change_weights(|weights| weights.push((name.to_owned(), number())));
        folder.assert_refused(&words);
        let said = inspected(&folder);
        assert!(said.contains("no: ") && words.iter().all(|word| said.contains(word)), "{said}");
    }
    let folder = Folder::copy_of("tied");
    folder.change_weights(|weights| {
        weights.iter_mut().for_each(|(name, _)| *name = format!("base_model.model.{name}"));
    });
    folder.assert_refused(&["base_model.model.model.", "merge_and_unload"]);
    // What is known to be of no use may lie there.
    for name in ["model.language_model.rotary_emb.inv_freq", "v_head.summary.weight"] {
        let folder = Folder::copy_of("tied");
        folder.change_weights(|weights| weights.push((name.to_owned(), number())));
        assert_eq!(score(&folder.load().unwrap()), original("tied"), "{name}");
    }
}

#[test]
fn what_lies_there_instead_is_named() {
    let adapter = r#"{"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen3-VL-2B-Instruct"}"#;
    let beside = Folder::copy_of("tied");
    beside.write("adapter_config.json", adapter);
    let words = ["adapter_config.json", "Qwen/Qwen3-VL-2B-Instruct", "merge_and_unload"];
    beside.assert_refused(&words);
    assert!(words.iter().all(|word| inspected(&beside).contains(word)), "{}", inspected(&beside));
    beside.remove("config.json").remove(WEIGHTS).assert_refused(&words);
    assert!(inspected(&beside).contains(words[1]), "{}", inspected(&beside));

    let pickled = Folder::copy_of("tied");
    pickled.remove(WEIGHTS).write("pytorch_model.bin", "");
    pickled.assert_refused(&[WEIGHTS, "pytorch_model.bin", "safetensors"]);
    let unindexed = Folder::copy_of("untied");
    unindexed.remove("model.safetensors.index.json");
    unindexed.assert_refused(&["3 shards", "model-00001-of-00003.safetensors", "index.json"]);

    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";
    for name in [WEIGHTS, "tokenizer.json", "config.json"] {
        Folder::copy_of("tied").write(name, pointer).assert_refused(&[name, "git lfs pull"]);
    }
    // The mark that some editors put before a text says nothing.
    let marked = Folder::copy_of("tied");
    let config = std::fs::read_to_string(marked.file("config.json")).unwrap();
    marked.write("config.json", &format!("\u{feff}{config}"));
    assert_eq!(score(&marked.load().unwrap()), original("tied"));
}
