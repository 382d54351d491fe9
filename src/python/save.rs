//! One save: what is pending becomes one transaction.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::state::{SequenceState, Shared};
use crate::codec::encode_all;
use crate::sequence::Slot;
use crate::store::MetadataChange;

/// Saves what is pending and `metadata`, if given; nothing where nothing is pending. Returns how many
/// rows were written and deleted.
pub fn save(state: &SequenceState, py: Python<'_>, metadata: Option<Vec<u8>>) -> PyResult<usize> {
    let Some(binding) = state.binding(py) else { return Ok(0) };
    let Some(storage) = &binding.storage else { return Ok(0) };
    let (plan, records) = {
        let mut index = state.lock(py);
        let plan = index.plan_save();
        let records: Vec<(i64, Shared)> = plan
            .puts
            .iter()
            .filter_map(|time| match index.rows().get(*time) {
                Some(Slot::Live(record)) => Some((*time, record.clone())),
                _ => None,
            })
            .collect();
        (plan, records)
    };
    if plan.is_empty() {
        return Ok(0);
    }
    let class = binding.record_class.get();
    let saves_metadata = metadata.is_some();
    let metadata = metadata.map_or(MetadataChange::Keep, MetadataChange::Put);
    let database = binding.database.bind(py);
    if binding.native {
        let level: u32 = database.getattr(intern!(py, "compression_level"))?.extract()?;
        let pickles = class.encode_all(py, &records)?;
        py.detach(|| {
            let values = encode_all(&pickles, level);
            state.sequence().commit(storage, &plan, values, metadata)
        })?;
    } else {
        let mut values = Vec::with_capacity(records.len());
        for (time, pickle) in class.encode_all(py, &records)? {
            let pickle = PyBytes::new(py, &pickle);
            let value = database.call_method1(intern!(py, "serialize_data"), (pickle,))?;
            values.push((time, value.cast::<PyBytes>()?.as_bytes().to_vec()));
        }
        py.detach(|| state.sequence().commit(storage, &plan, values, metadata))?;
    }
    if saves_metadata {
        state.set_metadata_kept(true);
    }
    Ok(plan.len())
}
