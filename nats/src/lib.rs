//! weft-nats
