//! Distributions on their way into histograms.

use dt_record::Distribution;
use smallvec::{Array, SmallVec};

use crate::layout::{self, COARSE, FINE, Layout, Place};

/// A distribution as histograms of one layout take it: worked out once, whichever number of them it is added to.
#[derive(Clone, Debug)]
pub struct Placed {
    pub(crate) layout: &'static Layout,
    /// (class, count) and (native bucket, count), ascending.
    pub(crate) classes: SmallVec<[(u8, u64); 8]>,
    pub(crate) natives: SmallVec<[(i16, u64); 16]>,
    pub(crate) sum_ns: u128,
}

impl Placed {
    /// Works out where `distribution` belongs in [`FINE`].
    #[must_use]
    pub fn fine(distribution: &Distribution) -> Placed {
        let fine = &*FINE;
        let mut placed = Placed::nothing(fine, distribution.sum_ns);
        for &(value, count) in &distribution.buckets {
            let Place { native, class } = fine.place(value);
            put(&mut placed.classes, class, count);
            put(&mut placed.natives, native, count);
        }
        placed
    }

    /// The same for [`COARSE`]. Of something fine, which is cheaper than to look every value up again.
    #[must_use]
    pub fn coarse(&self) -> Placed {
        debug_assert!(std::ptr::eq(self.layout, &*FINE), "what is coarse already");
        let mut placed = Placed::nothing(&COARSE, self.sum_ns);
        for &(class, count) in &self.classes {
            put(&mut placed.classes, layout::coarse_class(class), count);
        }
        for &(native, count) in &self.natives {
            put(&mut placed.natives, layout::coarse_native(native), count);
        }
        placed
    }

    fn nothing(layout: &'static Layout, sum_ns: u128) -> Placed {
        Placed {
            layout,
            classes: SmallVec::new(),
            natives: SmallVec::new(),
            sum_ns,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.natives.is_empty()
    }
}

/// Counts in ascending order.
fn put<T: Copy + PartialEq, A: Array<Item = (T, u64)>>(places: &mut SmallVec<A>, place: T, count: u64) {
    match places.last_mut() {
        Some((last, sum)) if *last == place => *sum = sum.saturating_add(count),
        _ => places.push((place, count)),
    }
}
