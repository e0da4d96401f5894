//! Tables of 100,000 rows that grow row by row: by an eighth at a time, for what doubling would keep in reserve is as much
//! as all the rest of a target.

/// Adds a row.
pub fn push<T>(rows: &mut Vec<T>, row: T) {
    make_room(rows, 1);
    rows.push(row);
}

/// Makes it at least `len` rows, the new ones being `row`.
pub fn fill_to<T: Copy>(rows: &mut Vec<T>, len: usize, row: T) {
    let more = len.saturating_sub(rows.len());
    make_room(rows, more);
    rows.resize(rows.len() + more, row);
}

fn make_room<T>(rows: &mut Vec<T>, more: usize) {
    if rows.capacity() - rows.len() < more {
        rows.reserve_exact(more.max(rows.len() / 8).max(4));
    }
}
