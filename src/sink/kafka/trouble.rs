//! What errors of the client mean to an operator.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as E};

use crate::stats::Trouble;

/// What is the matter where a message was not delivered.
pub(super) fn of(error: &KafkaError) -> Trouble {
    match error.rdkafka_error_code() {
        Some(E::Authentication | E::SaslAuthenticationFailed | E::UnsupportedSASLMechanism) => Trouble::Credentials,
        Some(E::SSL) => Trouble::Tls,
        Some(E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed | E::TransactionalIdAuthorizationFailed) => {
            Trouble::Rights
        }
        Some(E::UnknownTopic | E::UnknownPartition | E::UnknownTopicOrPartition | E::UnknownTopicId) => Trouble::Topic,
        Some(
            E::BrokerTransportFailure
            | E::AllBrokersDown
            | E::Resolve
            | E::OperationTimedOut
            | E::RequestTimedOut
            | E::MessageTimedOut,
        ) => Trouble::Unreachable,
        _ => Trouble::Records,
    }
}

/// What is the matter with the client as a whole, where it is that, and not one of several brokers.
pub(super) fn of_client(error: &KafkaError) -> Option<Trouble> {
    match of(error) {
        Trouble::Unreachable if error.rdkafka_error_code() != Some(E::AllBrokersDown) => None,
        what @ (Trouble::Unreachable | Trouble::Tls | Trouble::Credentials | Trouble::Rights) => Some(what),
        Trouble::Topic | Trouble::Records => None,
    }
}

/// Says it, with the client's own words for the details.
pub(super) fn tell(what: Trouble, reason: &str, bootstrap: &str) {
    match what {
        Trouble::Credentials => {
            tracing::warn!(
                reason,
                bootstrap,
                "Kafka refuses the user or the password; records wait"
            );
        }
        Trouble::Tls => tracing::warn!(
            reason,
            bootstrap,
            "no TLS with Kafka: its certificate can't be verified, or it speaks none; records wait"
        ),
        Trouble::Rights => tracing::warn!(reason, bootstrap, "Kafka doesn't let this user write; records wait"),
        _ => tracing::warn!(reason, bootstrap, "Kafka is not reachable; records wait"),
    }
}
