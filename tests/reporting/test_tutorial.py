from pipeline.reporting import tutorial


def test_the_tutorial_preset_is_the_tutorials_recipe_but_for_the_validation_split(published):
    assert tutorial.differences(published.model_dump()) == [("data.validation_fraction", 0.1, 0.0)]


def test_a_network_that_is_not_the_tutorials_is_left_out(published):
    values = published.model_dump()
    values["model"] = None
    assert [key for key, *_ in tutorial.differences(values)] == ["data.validation_fraction"]
    assert tutorial.part_of("model") == 7
    assert tutorial.part_of("another") is None
