"""Images and labels as NumPy arrays, and the order in which training sees them.

Nothing here knows a Tensor. Images are uint8, (N, H, W) or (N, C, H, W), 0 for the background and 255 for full
ink; a model's ``preprocess`` turns them into what its first layer wants.
"""

from minicnn.data import augmentation as augmentation
from minicnn.data.dataset import ArrayDataset as ArrayDataset
from minicnn.data.dataset import Photos as Photos
from minicnn.data.digits import load_digits as load_digits
from minicnn.data.duplicates import near_duplicates as near_duplicates
from minicnn.data.folders import Parts as Parts
from minicnn.data.folders import open_folder as open_folder
from minicnn.data.folders import open_test as open_test
from minicnn.data.folders import readable as readable
from minicnn.data.idx import load_mnist as load_mnist
from minicnn.data.idx import read_idx as read_idx
from minicnn.data.images import read_digit as read_digit
from minicnn.data.lists import read_list as read_list
from minicnn.data.loader import Loader as Loader
from minicnn.data.pictures import read_photo as read_photo
