"""Conformance suites for plug-ins, to be subclassed in anybody's tests: pytest collects what they inherit.

    class TestMyOperator(GrowthOperatorCase):
        @pytest.fixture
        def operator(self):
            return GrowthOperator(my_function, "new blocks are ...")

Growth operators, model families and methods have a module each. Needs pytest. Nothing of the package imports these.
"""
