"""Pulls and settles in protobuf, as `clients/protobuf/fanout.proto` says."""
