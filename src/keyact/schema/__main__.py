from __future__ import annotations

import json

from keyact.results import json_schema

print(json.dumps(json_schema(), indent=2))
