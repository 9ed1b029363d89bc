"""What people read: tables, plots and pages; `sparsity` and `benchmark`."""
