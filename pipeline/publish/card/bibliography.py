"""The papers whose methods winnow uses, as BibTeX.

An entry holds what is sure: the title, the year, the arXiv number, and the first author where it is
known. `citations` says which of them a version has used.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """One paper. `authors` in BibTeX's form; None where they are not known here."""

    title: str
    year: int
    eprint: str | None = None
    authors: str | None = None

    def bibtex(self, key: str) -> str:
        """The entry, under the name `key`."""
        fields: dict[str, object] = {"title": f"{{{self.title}}}"}
        if self.authors:
            fields["author"] = self.authors
        fields["year"] = self.year
        if self.eprint:
            fields |= {"eprint": self.eprint, "archivePrefix": "arXiv"}
            fields["url"] = f"https://arxiv.org/abs/{self.eprint}"
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@misc{{{key},\n{lines}\n}}"


def _first(name: str) -> str:
    return f"{name} and others"


WORKS: dict[str, Work] = {
    "acereason": Work(
        "AceReason-Nemotron: Advancing Math and Code Reasoning through Reinforcement Learning",
        2025, "2505.16400", _first("Chen, Y.")),
    "adaptive_consistency": Work(
        "Let's Sample Step by Step: Adaptive-Consistency for Efficient Reasoning and Coding with LLMs",
        2023, "2305.11860", _first("Aggarwal, Pranjal")),
    "agent_data_protocol": Work(
        "Agent Data Protocol: Unifying Datasets for Diverse, Effective Fine-tuning of LLM Agents",
        2025, "2510.24702", _first("Song, Yueqi")),
    "c_rlft": Work(
        "OpenChat: Advancing Open-source Language Models with Mixed-Quality Data",
        2023, "2309.11235", _first("Wang, Guan")),
    "critique_fine_tuning": Work(
        "Critique Fine-Tuning: Learning to Critique is More Effective than Learning to Imitate",
        2025, "2501.17703", "Wang, Yubo and Yue, Xiang and Chen, Wenhu"),
    "dart": Work(
        "DART-Math: Difficulty-Aware Rejection Tuning for Mathematical Problem-Solving",
        2024, "2407.13690", _first("Tong, Yuxuan")),
    "deepseek_r1": Work(
        "DeepSeek-R1: Incentivizing Reasoning Capability in LLMs via Reinforcement Learning",
        2025, "2501.12948", "{DeepSeek-AI}"),
    "dpo": Work(
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        2023, "2305.18290", _first("Rafailov, Rafael")),
    "eef": Work(
        "Exploring Expert Failures Improves LLM Agent Tuning",
        2025, "2504.13145", _first("Lan, Li-Cheng")),
    "fault_aware": Work(
        "FAIT: Fault-Aware Fine-Tuning for Better Code Generation",
        2025, "2503.16913", _first("Fan, Lishui")),
    "format_and_length": Work(
        "Surrogate Signals from Format and Length: Reinforcement Learning for Solving Mathematical "
        "Problems without Ground Truth Answers",
        2025, "2505.19439", _first("Xin, Rihui")),
    "gopher": Work(
        "Scaling Language Models: Methods, Analysis \\& Insights from Training Gopher",
        2021, "2112.11446", _first("Rae, Jack W.")),
    "judge_bias": Work(
        "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena",
        2023, "2306.05685", _first("Zheng, Lianmin")),
    "kto": Work(
        "KTO: Model Alignment as Prospect Theoretic Optimization",
        2024, "2402.01306", _first("Ethayarajh, Kawin")),
    "light_r1": Work(
        "Light-R1: Curriculum SFT, DPO and RL for Long COT from Scratch and Beyond",
        2025, "2503.10460", _first("Wen, Liang")),
    "minhash": Work(
        "On the resemblance and containment of documents", 1997, None, "Broder, Andrei Z."),
    "mopps": Work(
        "Can Prompt Difficulty be Online Predicted for Accelerating RL Finetuning of Reasoning Models?",
        2025, "2507.04632", _first("Qu, Yun")),
    "nft": Work(
        "Bridging Supervised Learning and Reinforcement Learning in Math Reasoning",
        2025, "2505.18116", _first("Chen, Huayu")),
    "prefix_rft": Work(
        "Blending Supervised and Reinforcement Fine-Tuning with Prefix Sampling",
        2025, "2507.01679", _first("Huang, Zeyu")),
    "q_tuning": Work(
        "Winning the Pruning Gamble: A Unified Approach to Joint Sample and Token Pruning for Efficient "
        "Supervised Fine-Tuning", 2025, "2509.23873", _first("Wang, Shaobo")),
    "r_tuning": Work(
        "R-Tuning: Instructing Large Language Models to Say `I Don't Know'",
        2023, "2311.09677", _first("Zhang, H.")),
    "ranked_lists": Work(
        "On the Robustness of Answer Formats in Medical Reasoning Models",
        2025, "2509.20866", _first("Taveekitworachai, Pittawat")),
    "reasoning_gym": Work(
        "REASONING GYM: Reasoning Environments for Reinforcement Learning with Verifiable Rewards",
        2025, "2505.24760", _first("Stojanovski, Zafir")),
    "relift": Work(
        "Learning What Reinforcement Learning Can't: Interleaved Online Fine-Tuning for Hardest "
        "Questions",
        2025, "2506.07527", _first("Ma, L.")),
    "rest_mcts": Work(
        "ReST-MCTS*: LLM Self-Training via Process Reward Guided Tree Search",
        2024, "2406.03816", _first("Zhang, Dan")),
    "rlhf_workflow": Work(
        "RLHF Workflow: From Reward Modeling to Online RLHF", 2024, "2405.07863",
        _first("Dong, Hanze")),
    "self_consistency": Work(
        "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
        2022, "2203.11171", _first("Wang, Xuezhi")),
    "specs": Work(
        "Metis-SPECS: Decoupling Multimodal Learning via Self-distilled Preference-based Cold Start",
        2025, "2510.25801", _first("Chen, Kun")),
    "spotlighting": Work(
        "Defending Against Indirect Prompt Injection Attacks With Spotlighting",
        2024, "2403.14720", _first("Hines, K.")),
    "start": Work(
        "START: Self-taught Reasoner with Tools", 2025, "2503.04625", _first("Li, C.")),
    "swe_rl": Work(
        "SWE-RL: Advancing LLM Reasoning via Reinforcement Learning on Open Software Evolution",
        2025, "2502.18449", _first("Wei, Yuxiang")),
    "temporal_rlt": Work(
        "Reinforcement Learning Tuning for VideoLLMs: Reward Design and Data Efficiency",
        2025, "2506.01908", _first("Li, Hongyu")),
    "think2sql": Work(
        "Think2SQL: Reinforce LLM Reasoning Capabilities for Text2SQL",
        2025, "2504.15077", _first("Papicchio, Simone")),
    "thinklite": Work(
        "SoTA with Less: MCTS-Guided Sample Selection for Data-Efficient Visual Reasoning "
        "Self-Improvement",
        2025, "2504.07934", _first("Wang, Xiyao")),
    "toolrl": Work(
        "ToolRL: Reward is All Tool Learning Needs", 2025, "2504.13958", _first("Qian, Cheng")),
    "tulu3": Work(
        "Tulu 3: Pushing Frontiers in Open Language Model Post-Training",
        2024, "2411.15124", _first("Lambert, Nathan")),
    "uds": Work(
        "Utility-Diversity Aware Online Batch Selection for LLM Supervised Fine-tuning",
        2025, "2510.16882", _first("Zou, Heming")),
    "visual_rft": Work(
        "Visual-RFT: Visual Reinforcement Fine-Tuning", 2025, "2503.01785", _first("Liu, Ziyu")),
    "vllm": Work(
        "Efficient Memory Management for Large Language Model Serving with PagedAttention",
        2023, "2309.06180", _first("Kwon, Woosuk")),
}  # fmt: skip
