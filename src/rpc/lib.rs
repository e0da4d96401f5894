//! The gRPC PingNode of the Go original: server and client.
