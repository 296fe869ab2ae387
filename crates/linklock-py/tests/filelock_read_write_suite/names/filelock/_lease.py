from filelock import LeaseCompromise
