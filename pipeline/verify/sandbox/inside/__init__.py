"""What runs on the far side: started on its own, with the standard library only.

The zygote puts the folder above this package on its path and imports it as `inside`, so that nothing
of winnow (and none of its dependencies) is in the memory of a program that it starts. Hence relative
imports here, and no other.
"""
