//! The platform on one machine: the real gateway, the real scaler's decisions and the real watchdog, with processes in the
//! place of pods and memory in the place of the API server.
