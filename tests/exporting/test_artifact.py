from __future__ import annotations

import json


def test_a_report_is_a_table_and_a_dictionary(files):
    artifact = files[".tflite"]
    text, data = str(artifact), artifact.report.to_dict()
    assert str(artifact.path) in text
    assert "75.00 %" in text
    assert "tolerance" in text
    assert [tensor["name"] for tensor in data["tensors"]] == [tensor.name for tensor in artifact.report.tensors]
    assert json.loads(json.dumps(data))["scheme"] == "int8"
    assert data["versions"]["keras-sparse"]
