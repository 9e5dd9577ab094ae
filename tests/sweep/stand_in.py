"""A stand-in for DVC that waits until told to continue, and functions to control it."""

from pipeline.settings.trainings import Training
from pipeline.sweep.plan import Task
from pipeline.sweep.pool import train_all

# In the clone's folder, `python -m dvc` finds this one first.
DVC = """
import hashlib, json, os, pathlib, signal, sys, time
from ruamel.yaml import YAML
command, label = sys.argv[1], sys.argv[-1].split("@")[1]
notes = pathlib.Path(os.environ["NOTES"])
md5 = hashlib.md5(label.encode()).hexdigest()
if command == "push":
    if (notes / "lossy").exists():  # like DVC where objects are missing: exit code 0
        (notes / "lossy").rename(notes / "was lossy")
        sys.exit(0)
    objects = pathlib.Path(os.environ["REMOTE"], "files/md5", md5[:2])
    objects.mkdir(parents=True, exist_ok=True)
    (objects / md5[2:]).touch()
    sys.exit(0)
def evaluate(made_by):
    folder = pathlib.Path("outputs/evaluation") / label
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text('{"training_seconds": 2.0}')
    outs = [{"md5": md5, "path": f"outputs/models/{label}"}]
    rest = {"cmd": "", "deps": [], "params": {"params.yaml": {"model": {}}}}
    trained = {"outs": [{**outs[0], "size": int(made_by)}], **rest}
    stages = {"prepare": {"cmd": "", "outs": outs}, f"train@{label}": trained}
    stages[f"evaluate@{label}"] = {"outs": outs, **rest}
    lock.write_text(json.dumps({"schema": "2.0", "stages": stages}))
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text(made_by)
    sys.exit(0)
lock = pathlib.Path("dvc.lock")
known = (YAML(typ="safe").load(lock) if lock.exists() else {}).get("stages", {})
done = pathlib.Path(os.environ.get("DVC_ROOT", "."), "run-cache", label)
if trained := known.get(f"train@{label}"):
    evaluate(str(trained["outs"][0]["size"]))
if done.exists() and "DVC_ROOT" in os.environ:  # like DVC's run-cache
    evaluate(done.read_text())
def end(*_):
    (notes / f"{os.getpid()}.ended").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
checkpoint = pathlib.Path(".training/own-key/epoch-00001")
if checkpoint.exists():
    (notes / f"{os.getpid()}.resumed").touch()
else:
    checkpoint.mkdir(parents=True)
    for name in ("last.keras", "best.keras", "state.json"):
        (checkpoint / name).write_text(name)
(notes / f"{os.getpid()}.{label}").touch()
print("epoch 1 of 2: half of it", flush=True)
while not (notes / "go").exists() and not (notes / f"go {label}").exists():
    time.sleep(0.02)
if label == "model-dropblock-13":
    sys.exit("the loss is nan")
evaluate(str(os.getpid()))
"""


def tasks(*seeds, result="result"):
    return [
        Task(f"key-{s}", f"{result}-{s}", Training("model", "dropblock", s), "x", ()) for s in seeds
    ]


PREPARED = {"prepare": {"cmd": "", "outs": []}}


def start(work, *seeds, place=None, result="result", say=print):
    asked = [(task, PREPARED) for task in tasks(*seeds, result=result)]
    return train_all(asked, place or work.place, 1, say)


def made_by(record):
    """Return the number of the process that made a result, which the stand-in gives as its size."""
    return record.weights[0]["size"]
