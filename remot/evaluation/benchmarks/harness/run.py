"""lmms-eval's own command line, with this library's model class among its models: the process that a harness runs."""


def main() -> None:
    """Register the class and go on as ``lmms-eval``."""
    from lmms_eval.__main__ import cli_evaluate
    from lmms_eval.models import MODEL_REGISTRY_V2
    from lmms_eval.models.registry_v2 import ModelManifest

    class_path = "remot.evaluation.benchmarks.harness.model.RemotModel"
    MODEL_REGISTRY_V2.register_manifest(ModelManifest(model_id="remot", chat_class_path=class_path), overwrite=True)
    cli_evaluate()


if __name__ == "__main__":
    main()
