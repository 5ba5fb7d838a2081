"""Distributed computation: replicas of a step, devices of a machine, machines of a cluster."""
