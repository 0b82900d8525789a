//! Special tokens that a configuration names. Some are not in the vocabulary: a default of a larger
//! model that stayed in the file, or -1 for none. They can never be predicted, so they are left out
//! and a note says so, as transformers does.

/// Those of `ids` that are in the vocabulary; the others become notes.
pub(super) fn inside(field: &str, ids: Vec<i128>, vocab_size: usize, notes: &mut Vec<String>) -> Vec<u32> {
    let keep = |id: i128| match u32::try_from(id) {
        Ok(token) if (token as usize) < vocab_size => Some(token),
        _ => {
            notes.push(format!("{field} {id} is outside the vocabulary of {vocab_size} and is ignored"));
            None
        }
    };
    ids.into_iter().filter_map(keep).collect()
}
