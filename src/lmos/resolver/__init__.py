"""The platform's pure decisions: what a version range means, and which agents serve a channel.

`resolve` takes agents and a channel and gives the channel's status with its routing. It reads no
clock and no network, so the operator, `lmos up`, `lmos resolve` and a check before a merge all get
the same answer from the same objects.
"""

from lmos.resolver.ranges import VersionRange
from lmos.resolver.resolve import Offers, Resolution, resolve
from lmos.resolver.versions import Version

__all__ = ["Offers", "Resolution", "Version", "VersionRange", "resolve"]
