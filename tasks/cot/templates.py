"""Wordings for the chain-of-thought data sets.

Each asks for the answer alone; what asks for reasoning is added by the renderer in the
chain-of-thought formats. None ends in a newline or a tab, which T5's vocabulary lacks.
"""

from __future__ import annotations

from flan_t5x.data.definitions import Template


def _wordings(*texts: str) -> tuple[Template, ...]:
    return tuple(Template(text) for text in texts)


_INVERTED = {
    # Reasons and answer are given, the question is wanted.
    "{asked}": (
        "{rationale} So the answer is {answer}. Which question was this about?",
        "Answer: {answer} Reasons: {rationale} Question:",
        'Somebody explains: "{rationale}" and ends with "{answer}". What had they been asked?',
        "Write the exercise that has this solution. {rationale} Result: {answer}",
        "The back of a work sheet: {rationale} Final answer: {answer} What is on its front?",
    ),
    # Question and answer are given, the reasons are wanted.
    "{rationale}": (
        "{asked} The answer is {answer}. Explain why.",
        "Question: {asked} Answer: {answer} Reasons:",
        'It is known that "{answer}" answers the following. Show the way there. {asked}',
        'A pupil wrote only "{answer}" below this task: {asked} Add the steps that are missing.',
        "From question to answer. Question: {asked} Answer: {answer} Train of thought:",
        'Justify the reply "{answer}" to this: {asked}',
    ),
    # The reasons are given, question and answer are wanted.
    "{asked} Answer: {answer}": (
        "{rationale} Which question do these thoughts answer, and how?",
        "Reasons: {rationale} Question and answer:",
        'You overhear a thought: "{rationale}" What was asked, and what will be the reply?',
        "Make a question and its answer out of this explanation. {rationale}",
    ),
    # The answer is given, question and reasons are wanted.
    "{asked} {rationale}": (
        "Invent a question whose answer is {answer}, and reason your way to it.",
        "Answer: {answer} Question, followed by an explanation:",
        "A worked example was torn; its result is {answer}. Write the task and the steps anew.",
        'Think of something to ask that leads to "{answer}". Question first, then the thoughts.',
    ),
}
"""What is wanted -> ways to ask for it."""


def inverted(asked: str, answer: str) -> tuple[Template, ...]:
    """Wordings that turn a data set round, as Flan 2022 does for chains of thought.

    Of question, reasons and answer, one or two are given and the rest is wanted, in all four
    sensible ways (Longpre et al. 2023, "input inversion").

    Args:
        asked: how the data set's question reads, e.g. ``"{question} {choices}"``.
        answer: how its answer reads to somebody who does not see the question.
    """

    def filled(text: str) -> str:
        return text.replace("{asked}", asked).replace("{answer}", answer)

    return tuple(
        Template(filled(inputs), filled(targets))
        for targets, wordings in _INVERTED.items()
        for inputs in wordings
    )


MATH = _wordings(
    "{question}",
    "Solve this word problem. {question}",
    "{question} Give the number only.",
    "Here is a problem from a school book: {question} What is the result?",
    "Work out the number that is asked for. {question}",
    "A pupil was asked: {question} What should the pupil say?",
    "Arithmetic exercise: {question} Answer:",
    "{question} How much is that?",
    "Read the story and compute what it asks. {question}",
    "Find the value. {question} Value:",
    "Please calculate: {question}",
    "Exercise. {question} The answer is a number; which one?",
)
"""gsm8k: field question."""

MATH_CHOICE = _wordings(
    "{question} {choices}",
    "{question} Choose among {choices}",
    "Which choice is right? {question} {choices}",
    "Solve the problem and name the letter of the right value. {question} {choices}",
    "Exam question: {question} Possible values: {choices} Your letter:",
    "{question} One of these values is correct: {choices} Which letter has it?",
    "Algebra quiz. {question} Candidates: {choices} Letter:",
    "Compute, then pick a letter. {question} {choices}",
    "Test item: {question} Answers to pick from: {choices} Answer:",
    "Given the values {choices} answer this: {question}",
    "Mark the correct value. {question} {choices}",
)
"""aqua: fields question, choices."""

SCIENCE_CHOICE = _wordings(
    "{question} {choices}",
    "Science question: {question} {choices}",
    "{question} Which of these is it? {choices}",
    "Use what you know about nature. {question} Choices: {choices}",
    "A teacher asks: {question} The class may say {choices} Which letter is right?",
    "{question} Name the letter of the best answer. {choices}",
    "Pick the letter that answers the question. {question} {choices} Letter:",
    "Quiz on science. {question} Candidates: {choices} Answer:",
    "From {choices} choose what fits: {question}",
    "Only one of the following is correct. {question} {choices}",
    "Put two facts together to answer. {question} {choices}",
)
"""qasc: fields question, choices."""

COMMON_SENSE = _wordings(
    "{question} {options}",
    "Use common sense. {question} {options}",
    "{question} What fits best? {options}",
    "Think of everyday life. {question} {options}",
    "Answer from daily experience: {question} {options}",
    "{options} With these in mind: {question}",
    "A question that anybody can answer: {question} {options} Answer:",
    "Which answer would most people give? {question} {options}",
    "{question} Choose the most sensible answer. {options}",
    "Everyday quiz. {question} {options}",
    "Find the best match. {question} {options}",
)
"""ecqa: field question, options."""

YES_NO = _wordings(
    "{question}",
    "{question} Yes or no?",
    "{question} {options}",
    "Answer with yes or no. {question}",
    "Is it yes or is it no? {question}",
    "Somebody wants to know: {question} {options}",
    "Decide: {question} Yes or no:",
    "Combine what you know to settle this. {question}",
    "{question} Say yes if so, and no if not.",
    "General knowledge. {question} {options}",
    "Tell whether the answer is yes or no. {question}",
    "Trivia night. {question} Answer:",
)
"""strategyqa: field question, options."""

CLAIM = _wordings(
    "Is this true? {claim}",
    "{claim} True, yes or no?",
    "{claim} Is that so? {options}",
    "Somebody says: {claim} Are they right? {options}",
    "Check the statement {claim} Does it hold? Answer yes or no.",
    "Fact check: {claim} {options}",
    "Would you believe this sentence? {claim} Yes or no:",
    "Statement: {claim} Is it correct?",
    "Can the following be true in our world? {claim} {options}",
    "Say yes if the sentence is right and no if it is wrong. {claim}",
    "{claim} Decide whether this makes sense, yes or no.",
    "A claim to judge: {claim} Judgement:",
)
"""creak: field claim, options."""

NONSENSE = _wordings(
    "{question} {sentences}",
    "{sentences} {question}",
    "Two sentences: {sentences} Which one cannot be meant seriously?",
    "One of these is absurd: {sentences} Name it.",
    "{sentences} Which sentence goes against everyday experience?",
    "Find the sentence that makes no sense. {sentences}",
    "Sentence A: {first} Sentence B: {second} Which is the odd one?",
    "Compare. Sentence A: {first} Sentence B: {second} Name the one that cannot happen.",
    "Only one of the two is sensible. {sentences} Which one is the other?",
    "{sentences} Name the sentence that nobody would believe.",
    "Point at the silly sentence. {sentences} Silly:",
)
"""sensemaking: fields question, first, second, sentences."""

ENTAILMENT = _wordings(
    "{question} {options}",
    "Read and decide. {question} {options}",
    "{question} What follows? {options}",
    "A question of logic and meaning: {question} {options}",
    "Take the text at its word. {question} {options}",
    "{question} Choose what the text supports. {options}",
    "Careful reading is needed here. {question} {options}",
    "Judge the following. {question} {options}",
    "What is the right conclusion? {question} {options}",
    "{options} Apply this to: {question}",
    "Inference exercise. {question} {options} Answer:",
)
"""esnli: field question, options."""

READING = _wordings(
    "{question}",
    "Read, then answer. {question}",
    "{question} Answer from the text.",
    "The answer can be found in what follows. {question}",
    "Look for the answer in the passage. {question}",
    "Reading exercise. {question} Answer:",
    "{question} Give a short answer.",
    "Find the words that answer the question. {question}",
    "Use only what is written. {question}",
    "{question} What does the text say?",
    "Passage and question: {question}",
)
"""qed: field question."""
