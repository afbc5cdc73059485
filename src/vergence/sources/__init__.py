"""Files that a user names: found, unpacked and taken apart record by record; what cannot be read is counted.

What is read of them is another matter: `corpus` reads captions, `data` reads pairs of images and captions.
"""
