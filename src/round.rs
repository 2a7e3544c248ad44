//! One round: observe, plan, clear, schedule; then carry out.
