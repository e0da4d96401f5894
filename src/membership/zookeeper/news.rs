//! Notifications about one entry, gathered for a moment: what they come to.

use zookeeper_client::EventType;

/// What some notifications about an entry come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It came. The list may have told so already, and it may have been read.
    Came,
    /// Its data is another: it changed, or the entry went and came.
    Changed,
    /// It went.
    Went,
}

impl News {
    /// After `before`, what `kind` adds.
    pub(super) fn then(before: Option<News>, kind: EventType) -> News {
        match (before, kind) {
            (_, EventType::NodeDeleted) => News::Went,
            (None | Some(News::Came), EventType::NodeCreated) => News::Came,
            _ => News::Changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_again_only_where_its_data_may_be_another() {
        use EventType::{NodeCreated, NodeDataChanged, NodeDeleted};
        for (kinds, news) in [
            (&[NodeCreated][..], News::Came),
            (&[NodeDataChanged], News::Changed),
            (&[NodeCreated, NodeDataChanged], News::Changed),
            (&[NodeDeleted, NodeCreated], News::Changed),
            (&[NodeCreated, NodeDeleted], News::Went),
            (&[NodeCreated, NodeDeleted, NodeCreated], News::Changed),
        ] {
            let all = kinds.iter().fold(None, |before, kind| Some(News::then(before, *kind)));
            assert_eq!(all, Some(news), "{kinds:?}");
        }
    }
}
