"""nnU-Net's own files, read and written: dataset.json, dataset_fingerprint.json, plans.json and trained models."""

from hemoseg.interop.model_export import export_model
from hemoseg.interop.model_import import import_model
from hemoseg.interop.nnunet_files import facts_from_json, parse_dataset_json, read_dataset_json, read_facts
from hemoseg.interop.nnunet_fingerprint import write_dataset_json, write_fingerprint_json
from hemoseg.interop.nnunet_read import read_plans, read_plans_file
from hemoseg.interop.nnunet_write import write_plans
from hemoseg.interop.onnx_export import export_onnx
from hemoseg.interop.plan_files import plan_from_files

__all__ = [
    "export_model",
    "export_onnx",
    "facts_from_json",
    "import_model",
    "parse_dataset_json",
    "plan_from_files",
    "read_dataset_json",
    "read_facts",
    "read_plans",
    "read_plans_file",
    "write_dataset_json",
    "write_fingerprint_json",
    "write_plans",
]
