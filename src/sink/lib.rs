//! Where summary records go: Kafka, standard output, files.
