import pytest

from pipeline.training.optimizers import new_model


def test_the_optimizer_is_the_tutorials_adam(tiny_params):
    optimizer = new_model("model", tiny_params.model, tiny_params.train, 10).optimizer
    config = optimizer.get_config()
    assert (config["beta_1"], config["beta_2"], config["epsilon"]) == (0.9, 0.999, 1e-8)
    assert config["global_clipnorm"] == 100


def test_what_params_say_of_the_optimizer_reaches_it(tiny_params):
    train = tiny_params.train.model_copy(
        update={"adam_beta_1": 0.8, "adam_beta_2": 0.95, "adam_epsilon": 1e-6, "clip_norm": 5.0}
    )
    model = new_model("baseline", tiny_params.baseline, train, 10)
    config = model.optimizer.get_config()
    assert (config["beta_1"], config["beta_2"], config["epsilon"]) == (0.8, 0.95, 1e-6)
    assert config["global_clipnorm"] == 5
    assert float(model.optimizer.learning_rate) == pytest.approx(0.002)
    assert model.loss.from_logits
