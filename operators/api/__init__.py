"""The Antenna's own API, ``antenna.be/v1alpha1``: models, and the definitions generated from them."""

from typing import Final

GROUP: Final = "antenna.be"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
