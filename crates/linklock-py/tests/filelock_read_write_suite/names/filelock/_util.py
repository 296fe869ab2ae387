from filelock._stand_in import stand_in as __getattr__
