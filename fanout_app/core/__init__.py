"""The queue itself, sans-io: told the time, told what happened, answers what is to be done.

Nothing below this package may import asyncio, Kafka, ZooKeeper or HTTP, read a clock or log.
"""
