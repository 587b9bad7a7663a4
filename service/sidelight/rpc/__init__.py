"""gRPC: requests to the domain and back. The only place that knows grpc and the protos."""
