//! Matrices on their way to the card; no card is needed.

use std::path::Path;

use super::super::loading::{round_to_blocks, row_of};
use super::*;
use crate::model::DeviceChoice;
use crate::model::qwen3_vl::folder::ModelFolder;
use crate::model::qwen3_vl::kernels;
use crate::model::qwen3_vl::weights::Weights;

#[test]
fn rows_rounded_by_many_threads_are_those_of_the_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/so101-sim");
    let folder = ModelFolder::open(&folder).unwrap();
    let processor = kernels::open(DeviceChoice::Cpu, false).unwrap();
    let weights = Weights::open(&folder, |_, _| Ok(crate::model::Dtype::F32), processor, &|_| {}).unwrap();
    let section = weights.text().at("layers").at(1).at("mlp").at("down_proj");
    let whole = section.get("weight", (192, 512)).unwrap();
    let stored = section.stored("weight", &[192, 512]).unwrap();
    for blocks in [GgmlDType::Q8_0, GgmlDType::Q6K, GgmlDType::Q4K] {
        let expected = QTensor::quantize(&whole, blocks).unwrap().data().unwrap().into_owned();
        let row = row_of(blocks, 512);
        for first in [0, 3] {
            let mut bytes = vec![0; (192 - first) * row];
            round_to_blocks(&stored.in_file(), first, (512, blocks), &mut bytes).unwrap();
            assert!(bytes == expected[first * row..], "{blocks:?} from row {first}");
        }
    }
}
