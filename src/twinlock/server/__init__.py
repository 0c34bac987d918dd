"""Sockets, threads and clocks: joins the pure layers into a served volume.

control      what supervisor and worker say to each other
listener     accepts connections, answers discovery, finds the worker for a login
worker       the process that holds one unlocked volume
volume       members, mirror, container and logical unit, put together
connection   drives one iSCSI connection
admission    one initiator at a time
"""
