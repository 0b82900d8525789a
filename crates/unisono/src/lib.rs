//! A hardware-portable compute backend for open transformer models.
