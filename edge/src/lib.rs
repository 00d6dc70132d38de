//! weft-edge
