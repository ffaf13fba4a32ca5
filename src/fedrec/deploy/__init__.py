"""The federation on real machines: a platform's SuperLink, its tenants' SuperNodes, and who may talk to whom.

    platform/   what the platform's operator runs; imports nothing of a client
    tenant/     what a tenant runs; imports nothing of a server

The modules beside the two are what both sides share. Transport, scheduling and node authentication are Flower's.
"""
