"""Runs every scoring client against a mock of the service and judges what it sent and what it understood.

Knowledge points one way: ``cases``, ``clients``, ``mock`` and ``protocol`` know nothing of each other, ``engine`` joins
them, and the front ends (``command`` and ``pytest_plugin``) use the engine. Nothing below the front ends knows pytest
or the terminal.
"""

__version__ = "0.1.0"
